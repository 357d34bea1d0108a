// Sorts and filters tables. Without JavaScript, the page shows the same content in one order.
for (const table of document.querySelectorAll("table[data-sortable]")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const value = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
  };
  const order = (a, b) => typeof a === "number" ? a - b : a.localeCompare(b, undefined, {numeric: true});
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const first = head.classList.contains("n") ? "descending" : "ascending";
      const direction = before ? (before === "ascending" ? "descending" : "ascending") : first;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction);
      const sign = direction === "ascending" ? 1 : -1;
      body.append(...[...body.rows].sort((a, b) => sign * order(value(a, column), value(b, column))));
    });
  });
  const tools = document.getElementById(table.dataset.sortable);
  if (!tools) continue;
  const input = tools.querySelector("input"), status = tools.querySelector("[role=status]");
  tools.hidden = false;
  const filter = () => {
    const query = input.value.toLowerCase();
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(query);
      shown += !row.hidden;
    }
    status.textContent = query ? `${shown.toLocaleString("en")} of ${body.rows.length.toLocaleString("en")} shown` : "";
  };
  input.addEventListener("input", filter);
  filter();
}
