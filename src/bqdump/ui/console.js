// The page of an unfinished run reloads the part that changes.
const live = document.querySelector("[data-live]");
if (live) {
  const lost = document.querySelector("[data-lost]");
  const look = async () => {
    const began = performance.now();
    try {
      const answer = await fetch(live.dataset.live);
      if (answer.headers.get("bqdump-run") === "ended") return location.reload();
      const text = await answer.text();
      if (answer.ok && text !== live.dataset.seen) {
        live.innerHTML = text;
        live.dataset.seen = text;
      }
      lost.hidden = answer.ok;
    } catch {
      lost.hidden = false;
    }
    // Listing many tables takes time: wait three times as long, so the console is idle most of it.
    setTimeout(look, Math.max(1000, 3 * (performance.now() - began)));
  };
  setTimeout(look, 1000);
}

// Filter results are shown while typing.
const form = document.querySelector("form[data-region]");
if (form) {
  let wait, latest = 0;
  form.querySelector("button").hidden = true;
  form.addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(async () => {
      const mine = ++latest, address = "?" + new URLSearchParams(new FormData(form));
      const answer = await fetch(address);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const found = page.getElementById(form.dataset.region);
      if (mine !== latest || !found) return;
      document.getElementById(form.dataset.region).replaceWith(found);
      history.replaceState(null, "", address);
    }, 120);
  });
  // Text typed before this script was loaded.
  const search = form.querySelector("input[type=search]");
  if (search.value !== search.defaultValue) form.dispatchEvent(new Event("input"));
}

// Buttons that copy the code next to them.
for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.textContent, code = button.parentElement.querySelector("code");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
      setTimeout(() => button.textContent = label, 2000);
    } catch {
      // Without the browser's permission, the code is selected instead.
      code.closest("details").open = true;
      getSelection().selectAllChildren(code);
    }
  });
}
