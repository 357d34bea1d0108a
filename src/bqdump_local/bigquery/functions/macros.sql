-- Functions of GoogleSQL whose results DuckDB's own functions do not give.
CREATE SCHEMA IF NOT EXISTS bq;

-- An error that SAFE functions catch, unlike error(). Its message is between two characters that no query has.
CREATE OR REPLACE MACRO bq.fail(message) AS CAST(chr(1) || message || chr(2) AS BOOLEAN);

-- Numbers
CREATE OR REPLACE MACRO bq.unscaled(a) AS CAST(replace(CAST(a AS VARCHAR), '.', '') AS HUGEINT);
CREATE OR REPLACE MACRO bq.scaled(q) AS
  CAST(CAST(q // 1000000000 AS DECIMAL(29, 0)) AS DECIMAL(38, 9))
  + CAST(CAST(q % 1000000000 AS DECIMAL(10, 0)) * 0.000000001::DECIMAL(10, 9) AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO bq.quotient(a DECIMAL(38, 9), b DECIMAL(38, 9)) AS
  CASE WHEN abs(a) < 100000000000000000 THEN
    bq.scaled((bq.unscaled(a) * 10000000000 // bq.unscaled(b)
      + 5 * CAST(sign(a) * sign(b) AS HUGEINT)) // 10)
  ELSE CAST(CAST(a AS DOUBLE) / CAST(b AS DOUBLE) AS DECIMAL(38, 9)) END,
  (a BIGINT, b BIGINT) AS a / b, (a DOUBLE, b DOUBLE) AS a / b, (a, b) AS a / b;
CREATE OR REPLACE MACRO bq.div(a, b) AS
  CASE WHEN (CASE WHEN b = 0 THEN bq.fail('division by zero: ' || a || ' / ' || b) ELSE FALSE END) THEN NULL
  ELSE bq.quotient(a, b) END;
CREATE OR REPLACE MACRO bq.sqrt(a) AS
  CASE WHEN (CASE WHEN a < 0 THEN bq.fail('Argument to SQRT cannot be negative: ' || a) ELSE FALSE END) THEN NULL
  ELSE sqrt(a) END;
CREATE OR REPLACE MACRO bq.positive(a, name) AS
  CASE WHEN (CASE WHEN a <= 0 THEN bq.fail('Floating point error in function: ' || name || '(' || a || ')') ELSE FALSE END)
  THEN NULL ELSE a END;
CREATE OR REPLACE MACRO bq.finite(result, given, name) AS
  CASE WHEN (CASE WHEN isinf(result) AND given THEN bq.fail('Floating point error in function: ' || name) ELSE FALSE END)
  THEN NULL ELSE result END;
CREATE OR REPLACE MACRO bq.exp(a) AS bq.finite(exp(CAST(a AS DOUBLE)), isfinite(CAST(a AS DOUBLE)), 'EXP');
CREATE OR REPLACE MACRO bq.power(a, b) AS bq.finite(pow(a, b), isfinite(a) AND isfinite(b), 'POW');
CREATE OR REPLACE MACRO bq.pow(a DOUBLE, b DOUBLE) AS bq.power(a, b),
  (a BIGINT, b BIGINT) AS bq.power(CAST(a AS DOUBLE), CAST(b AS DOUBLE)),
  (a DECIMAL(38, 9), b DECIMAL(38, 9)) AS CAST(bq.power(CAST(a AS DOUBLE), CAST(b AS DOUBLE)) AS DECIMAL(38, 9));
CREATE OR REPLACE MACRO bq.sign(a DOUBLE) AS CAST(sign(a) AS DOUBLE), (a DECIMAL(38, 9)) AS CAST(sign(a) AS DECIMAL(38, 9)),
  (a BIGINT) AS CAST(sign(a) AS BIGINT), (a) AS sign(a);
CREATE OR REPLACE MACRO bq.in_calendar(a) AS
  CASE WHEN (CASE WHEN year(a) NOT BETWEEN 1 AND 9999 THEN bq.fail('Arithmetic overflow: date out of range') ELSE FALSE END)
  THEN NULL ELSE a END;
CREATE OR REPLACE MACRO bq.signed(u) AS
  CAST(CASE WHEN u >= 9223372036854775808::HUGEINT THEN u - 18446744073709551616::HUGEINT ELSE u END AS BIGINT);
CREATE OR REPLACE MACRO bq.shift_left(a, b) AS
  CASE WHEN (CASE WHEN b < 0 THEN bq.fail('Bitwise shift by negative offset.') ELSE FALSE END) THEN NULL
  WHEN b >= 64 THEN 0
  ELSE bq.signed(((a::HUGEINT) & ((1::HUGEINT << (64 - b)::HUGEINT) - 1)) * (1::HUGEINT << b::HUGEINT)) END;
CREATE OR REPLACE MACRO bq.shift_right(a, b) AS
  CASE WHEN (CASE WHEN b < 0 THEN bq.fail('Bitwise shift by negative offset.') ELSE FALSE END) THEN NULL
  WHEN b = 0 THEN a::BIGINT WHEN b >= 64 THEN 0
  WHEN a < 0 THEN CAST((a::HUGEINT + 18446744073709551616::HUGEINT) >> b::HUGEINT AS BIGINT)
  ELSE CAST(a >> b AS BIGINT) END;
CREATE OR REPLACE MACRO bq.range_bucket(a, bounds) AS
  CASE WHEN a IS NULL OR bounds IS NULL THEN NULL ELSE len(list_filter(bounds, lambda x: x <= a)) END;

-- Casts. Integers have overloads of their own: DuckDB prefers DOUBLE, which holds 53 bits of them, to any type.
CREATE OR REPLACE MACRO bq.from_hex(digits) AS TRY_CAST('0x' || digits AS HUGEINT);
CREATE OR REPLACE MACRO bq.try_int64(a VARCHAR) AS
  CASE WHEN regexp_full_match(a, '\s*[+-]?[0-9]+\s*') THEN TRY_CAST(a AS BIGINT)
  WHEN regexp_full_match(a, '\s*[+-]?0[xX][0-9a-fA-F]+\s*') THEN
    TRY_CAST(bq.from_hex(regexp_extract(a, '[xX]([0-9a-fA-F]+)', 1)) * CASE WHEN contains(a, '-') THEN -1 ELSE 1 END
    AS BIGINT) END,
  (a DOUBLE) AS CASE WHEN isfinite(a) THEN TRY_CAST(round(a) AS BIGINT) END,
  (a BIGINT) AS a, (a HUGEINT) AS TRY_CAST(a AS BIGINT), (a DECIMAL(38, 9)) AS TRY_CAST(a AS BIGINT),
  (a) AS TRY_CAST(a AS BIGINT);
CREATE OR REPLACE MACRO bq.try_bool(a VARCHAR) AS CASE lower(a) WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END,
  (a) AS TRY_CAST(a AS BOOLEAN);
CREATE OR REPLACE MACRO bq.to_int64(a) AS
  CASE WHEN (CASE WHEN a IS NOT NULL AND bq.try_int64(a) IS NULL THEN bq.fail('Bad int64 value: ' || a) ELSE FALSE END)
  THEN NULL ELSE bq.try_int64(a) END;
CREATE OR REPLACE MACRO bq.to_bool(a) AS
  CASE WHEN (CASE WHEN a IS NOT NULL AND bq.try_bool(a) IS NULL THEN bq.fail('Bad bool value: ' || a) ELSE FALSE END)
  THEN NULL ELSE bq.try_bool(a) END;
CREATE OR REPLACE MACRO bq.digits(a) AS
  CASE WHEN TRY_CAST(format('{:.15g}', a) AS DOUBLE) = a THEN format('{:.15g}', a) ELSE format('{:.17g}', a) END;
CREATE OR REPLACE MACRO bq.to_string(a BLOB) AS decode(a),
  (a DOUBLE) AS CASE WHEN isfinite(a) THEN bq.digits(a) ELSE CAST(a AS VARCHAR) END,
  (a DECIMAL(38, 9)) AS rtrim(rtrim(CAST(a AS VARCHAR), '0'), '.'),
  (a BIGINT) AS CAST(a AS VARCHAR), (a HUGEINT) AS CAST(a AS VARCHAR),
  (a) AS CAST(a AS VARCHAR);
CREATE OR REPLACE MACRO bq.to_bytes(a VARCHAR) AS encode(a), (a BLOB) AS a;

-- Strings and bytes
CREATE OR REPLACE MACRO bq.start(length, s) AS CASE WHEN s = 0 OR s < -length THEN 1 WHEN s < 0 THEN length + s + 1 ELSE s END;
CREATE OR REPLACE MACRO bq.part(a BLOB, s, n) AS
  unhex(substr(hex(a), 2 * bq.start(octet_length(a), s) - 1, 2 * n)),
  (a, s, n) AS substr(a, bq.start(length(a), s), n);
CREATE OR REPLACE MACRO bq.substr(a, s) AS bq.part(a, s, 1000000000),
  (a, s, n) AS CASE WHEN (CASE WHEN n < 0 THEN bq.fail('Third argument in SUBSTR() cannot be negative') ELSE FALSE END)
  THEN NULL ELSE bq.part(a, s, n) END;
CREATE OR REPLACE MACRO bq.size(a BLOB) AS octet_length(a), (a) AS length(a);
CREATE OR REPLACE MACRO bq.left(a, n) AS
  CASE WHEN (CASE WHEN n < 0 THEN bq.fail('Second argument in LEFT() cannot be negative') ELSE FALSE END)
  THEN NULL ELSE bq.part(a, 1, n) END;
CREATE OR REPLACE MACRO bq.right(a, n) AS
  CASE WHEN (CASE WHEN n < 0 THEN bq.fail('Second argument in RIGHT() cannot be negative') ELSE FALSE END)
  THEN NULL ELSE bq.part(a, greatest(bq.size(a) - n, 0) + 1, 1000000000) END;
CREATE OR REPLACE MACRO bq.repeat(a, n) AS
  CASE WHEN (CASE WHEN n < 0 THEN bq.fail('Second argument in REPEAT() cannot be negative') ELSE FALSE END)
  THEN NULL ELSE repeat(a, n) END;
CREATE OR REPLACE MACRO bq.byte_length(a BLOB) AS octet_length(a), (a) AS octet_length(encode(a));
CREATE OR REPLACE MACRO bq.starts_with(a VARCHAR, b) AS starts_with(a, b), (a BLOB, b) AS starts_with(hex(a), hex(b));
CREATE OR REPLACE MACRO bq.ends_with(a VARCHAR, b) AS ends_with(a, b), (a BLOB, b) AS ends_with(hex(a), hex(b));
CREATE OR REPLACE MACRO bq.text(a) AS CAST(a AS VARCHAR);
CREATE OR REPLACE MACRO bq.like(a, b) AS like_escape(a, b, '\');
CREATE OR REPLACE MACRO bq.to_code_points(a VARCHAR) AS
  list_transform(CASE WHEN a = '' THEN [] ELSE string_split(a, '') END, lambda x: unicode(x)::BIGINT),
  (a BLOB) AS list_transform(range(octet_length(a)), lambda i: CAST('0x' || substr(hex(a), 2 * i + 1, 2) AS BIGINT));
CREATE OR REPLACE MACRO bq.code_points_to_string(a) AS
  array_to_string(list_transform(a, lambda x: chr(x::INTEGER)), '');
CREATE OR REPLACE MACRO bq.code_points_to_bytes(a) AS
  unhex(array_to_string(list_transform(a, lambda x: printf('%02X', x)), ''));

-- Arrays
CREATE OR REPLACE MACRO bq.step(s) AS
  CASE WHEN s = 0 THEN CASE WHEN bq.fail('Sequence step cannot be 0.') THEN NULL ELSE s END ELSE s END;
CREATE OR REPLACE MACRO bq.generate_array(a DOUBLE, b DOUBLE, s DOUBLE) AS
  CASE WHEN bq.step(s) > 0 AND a > b OR s < 0 AND a < b THEN []
  ELSE list_transform(range(CAST(floor((b - a) / s + 1e-9) AS BIGINT) + 1), lambda i: a + i * s) END,
  (a BIGINT, b BIGINT, s BIGINT) AS generate_series(a, b, bq.step(s)),
  (a DECIMAL(38, 9), b DECIMAL(38, 9), s DECIMAL(38, 9)) AS
  CASE WHEN bq.step(s) > 0 AND a > b OR s < 0 AND a < b THEN []
  ELSE list_transform(range(CAST(floor(CAST((b - a) AS DOUBLE) / CAST(s AS DOUBLE) + 1e-9) AS BIGINT) + 1),
    lambda i: CAST(a + i * s AS DECIMAL(38, 9))) END;
CREATE OR REPLACE MACRO bq.month_array(a, b, n) AS
  list_filter(list_transform(range(greatest(date_diff('month', a, b) // bq.step(n), -1) + 1), lambda i: CAST(a + to_months(CAST(i * n AS INTEGER)) AS DATE)),
    lambda d: CASE WHEN n > 0 THEN d <= b ELSE d >= b END);
CREATE OR REPLACE MACRO bq.item(a, i) AS
  CASE WHEN (CASE WHEN typeof(a) <> 'JSON' AND (i < 0 OR i >= len(a))
  THEN bq.fail('Array index ' || i || ' is out of bounds') ELSE FALSE END) THEN NULL
  ELSE a[i + CASE WHEN typeof(a) = 'JSON' THEN 0 ELSE 1 END] END;
CREATE OR REPLACE MACRO bq.array_concat(a, b) AS CASE WHEN a IS NULL OR b IS NULL THEN NULL ELSE list_concat(a, b) END;
CREATE OR REPLACE MACRO bq.array_first(a) AS
  CASE WHEN (CASE WHEN len(a) = 0 THEN bq.fail('ARRAY_FIRST cannot get the first element of an empty array') ELSE FALSE END)
  THEN NULL ELSE a[1] END;
CREATE OR REPLACE MACRO bq.array_last(a) AS
  CASE WHEN (CASE WHEN len(a) = 0 THEN bq.fail('ARRAY_LAST cannot get the last element of an empty array') ELSE FALSE END)
  THEN NULL ELSE a[-1] END;
CREATE OR REPLACE MACRO bq.array_slice(a, s, e) AS
  list_slice(a, CASE WHEN s < 0 THEN s ELSE s + 1 END, CASE WHEN e < 0 THEN e ELSE e + 1 END);
CREATE OR REPLACE MACRO bq.array_is_distinct(a) AS
  len(list_distinct(a)) = len(a) - CASE WHEN len(a) > list_count(a) THEN 1 ELSE 0 END;
CREATE OR REPLACE MACRO bq.array_includes(a, b) AS list_contains(a, b);
CREATE OR REPLACE MACRO bq.without_nulls(a, name) AS
  CASE WHEN (CASE WHEN len(a) > list_count(a)
  THEN bq.fail('Array cannot have a null element; error in writing field ' || name) ELSE FALSE END) THEN NULL ELSE a END;
CREATE OR REPLACE MACRO bq.top_count(counts, n) AS
  list_transform(list_slice(list_reverse_sort(list_transform(map_entries(counts),
    lambda e: {'count': e.value::BIGINT, 'value': e.key})), 1, n), lambda e: {'value': e.value, 'count': e.count});

-- Dates and times
CREATE OR REPLACE MACRO bq.days_since(a, first) AS (isodow(a) - first + 7) % 7;
CREATE OR REPLACE MACRO bq.trunc(a DATE, part) AS CAST(date_trunc(part, a) AS DATE),
  (a TIME, part) AS CAST(date_trunc(part, DATE '1970-01-01' + a) AS TIME),
  (a, part) AS date_trunc(part, a);
CREATE OR REPLACE MACRO bq.trunc_week(a DATE, first) AS a - CAST(bq.days_since(a, first) AS INTEGER),
  (a, first) AS date_trunc('day', a) - to_days(CAST(bq.days_since(a, first) AS INTEGER));
CREATE OR REPLACE MACRO bq.trunc_isoyear(a DATE) AS
  CAST(date_trunc('week', make_date(isoyear(a), 1, 4)) AS DATE),
  (a TIMESTAMP) AS CAST(date_trunc('week', make_date(isoyear(a), 1, 4)) AS TIMESTAMP),
  (a TIMESTAMPTZ) AS CAST(CAST(date_trunc('week', make_date(isoyear(a), 1, 4)) AS TIMESTAMP) AS TIMESTAMPTZ);
CREATE OR REPLACE MACRO bq.day_of_week(a) AS isodow(a) % 7 + 1;
CREATE OR REPLACE MACRO bq.below(a, size) AS a % size;
CREATE OR REPLACE MACRO bq.padded(n) AS lpad(CAST(n AS VARCHAR), 2, ' ');
CREATE OR REPLACE MACRO bq.seconds(a, digits) AS
  CASE WHEN digits = 0 THEN strftime(a, '%S') ELSE substr(strftime(a, '%S.%f'), 1, 3 + digits) END;
CREATE OR REPLACE MACRO bq.seconds_of_all_digits(a) AS rtrim(rtrim(strftime(a, '%S.%f'), '0'), '.');
CREATE OR REPLACE MACRO bq.week(a, first) AS (dayofyear(a) + 6 - bq.days_since(a, first)) // 7;
CREATE OR REPLACE MACRO bq.timestamp_diff(a, b, size) AS
  (epoch_us(a::TIMESTAMPTZ) - epoch_us(b::TIMESTAMPTZ)) // size;
CREATE OR REPLACE MACRO bq.unix(a, size) AS
  (epoch_us(a::TIMESTAMPTZ) - ((epoch_us(a::TIMESTAMPTZ) % size) + size) % size) // size;
CREATE OR REPLACE MACRO bq.offset_minutes(a, zone) AS
  (epoch_us(timezone(zone, a)) - epoch_us(a)) // 60000000;
CREATE OR REPLACE MACRO bq.offset_text(minutes, between) AS
  CASE WHEN minutes < 0 THEN '-' ELSE '+' END || printf('%02d', abs(minutes) // 60) || between
  || printf('%02d', abs(minutes) % 60);
CREATE OR REPLACE MACRO bq.timestamp_text(a, zone) AS
  CAST(timezone(zone, a) AS VARCHAR) || regexp_replace(bq.offset_text(bq.offset_minutes(a, zone), ':'), ':00$', '');

-- Casts with FORMAT. Another type than these has other formats.
CREATE OR REPLACE MACRO bq.unsupported(what) AS CAST(chr(1) || chr(3) || what || chr(2) AS BOOLEAN);
CREATE OR REPLACE MACRO bq.with_parts(a, kind, forbidden, kinds) AS
  CASE WHEN (CASE WHEN len(list_filter(string_split(forbidden, ''), lambda one: contains(kinds, one))) > 0
  THEN bq.fail(kind || ' does not support elements of this format') ELSE FALSE END) THEN NULL ELSE a END;
CREATE OR REPLACE MACRO bq.civil(a DATE, zone, kinds) AS bq.with_parts(CAST(a AS TIMESTAMP), 'DATE', 'tz', kinds),
  (a TIME, zone, kinds) AS bq.with_parts(DATE '1970-01-01' + a, 'TIME', 'dz', kinds),
  (a TIMESTAMP, zone, kinds) AS bq.with_parts(a, 'DATETIME', 'z', kinds),
  (a TIMESTAMPTZ, zone, kinds) AS timezone(zone, a),
  (a VARCHAR, zone, kinds) AS CASE WHEN a IS NULL THEN NULL WHEN bq.fail('FORMAT is not allowed for a cast from STRING to STRING')
  THEN CAST(NULL AS TIMESTAMP) END,
  (a, zone, kinds) AS CASE WHEN bq.unsupported('CAST of ' || typeof(a) || ' with FORMAT') THEN CAST(NULL AS TIMESTAMP) END;
CREATE OR REPLACE MACRO bq.civil_offset(a TIMESTAMPTZ, zone) AS bq.offset_minutes(a, zone), (a, zone) AS 0;
CREATE OR REPLACE MACRO bq.last_digits(n, size) AS
  CASE WHEN size < 4 THEN lpad(CAST(n % CAST(pow(10, size) AS BIGINT) AS VARCHAR), size, '0') ELSE printf('%04d', n) END;
CREATE OR REPLACE MACRO bq.day_second(a) AS printf('%05d', date_diff('second', date_trunc('day', a), date_trunc('second', a)));
CREATE OR REPLACE MACRO bq.meridian(a) AS CASE WHEN hour(a) < 12 THEN 'A.M.' ELSE 'P.M.' END;
CREATE OR REPLACE MACRO bq.offset_hours(minutes) AS substr(bq.offset_text(minutes, ''), 1, 3);
CREATE OR REPLACE MACRO bq.offset_rest(minutes) AS substr(bq.offset_text(minutes, ''), 4);
CREATE OR REPLACE MACRO bq.read(a, pattern, names) AS
  CASE WHEN (CASE WHEN NOT regexp_full_match(a, pattern) THEN bq.fail('Failed to parse input string "' || a || '"')
  ELSE FALSE END) THEN NULL ELSE regexp_extract(a, pattern, names) END;
CREATE OR REPLACE MACRO bq.whole(digits, missing) AS CASE WHEN digits = '' THEN missing ELSE CAST(digits AS BIGINT) END;
CREATE OR REPLACE MACRO bq.in_century(short, this_year) AS
  CASE WHEN short < 50 AND this_year % 100 >= 50 THEN short + 100 WHEN short >= 50 AND this_year % 100 < 50 THEN short - 100
  ELSE short END;
CREATE OR REPLACE MACRO bq.read_year(digits, short, this_year) AS
  CASE WHEN digits = '' THEN this_year WHEN short = 0 THEN CAST(replace(digits, ',', '') AS BIGINT)
  WHEN short < 0 THEN this_year - this_year % 100 + bq.in_century(CAST(digits AS BIGINT), this_year)
  ELSE this_year - this_year % short + CAST(digits AS BIGINT) END;
CREATE OR REPLACE MACRO bq.year_exists(n) AS
  CASE WHEN (CASE WHEN n NOT BETWEEN 1 AND 9999 THEN bq.fail('Invalid result from year, month, day values after parsing')
  ELSE FALSE END) THEN NULL ELSE n END;
CREATE OR REPLACE MACRO bq.read_month(given, this_month) AS
  CASE WHEN given = '' THEN this_month WHEN TRY_CAST(given AS BIGINT) IS NOT NULL THEN CAST(given AS BIGINT)
  ELSE list_position(['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL', 'AUG', 'SEP', 'OCT', 'NOV', 'DEC'],
    upper(substr(given, 1, 3))) END;
CREATE OR REPLACE MACRO bq.read_hour(digits, meridian) AS
  CASE WHEN meridian = '' THEN bq.whole(digits, 0) WHEN CAST(digits AS BIGINT) NOT BETWEEN 1 AND 12 THEN 99
  ELSE CAST(digits AS BIGINT) % 12 + CASE WHEN upper(meridian) = 'P.M.' THEN 12 ELSE 0 END END;
CREATE OR REPLACE MACRO bq.moment_of(p, short, today) AS
  make_timestamp(bq.year_exists(bq.read_year(p.year, short, year(today))), bq.read_month(p.month, month(today)),
    bq.whole(p.day, 1), bq.read_hour(p.hour, p.meridian), bq.whole(p.minute, 0), bq.whole(p.second, 0))
  + to_seconds(bq.whole(p.day_second, 0)) + to_microseconds(CAST(substr(rpad(p.fraction, 6, '0'), 1, 6) AS BIGINT));
CREATE OR REPLACE MACRO bq.read_moment(a, pattern, names, short, today) AS
  CASE WHEN a IS NULL THEN NULL
  ELSE list_transform([bq.read(a, pattern, names)], lambda p: bq.moment_of(p, short, today))[1] END;
CREATE OR REPLACE MACRO bq.offset_of(p) AS
  to_minutes((bq.whole(substr(p.hours, 2), 0) * 60 + bq.whole(p.minutes, 0))
    * CASE WHEN starts_with(p.hours, '-') THEN -1 ELSE 1 END);
CREATE OR REPLACE MACRO bq.read_offset(a, pattern, names) AS
  list_transform([bq.read(a, pattern, names)], lambda p: bq.offset_of(p))[1];
CREATE OR REPLACE MACRO bq.hex_text(a BLOB) AS lower(hex(a));
CREATE OR REPLACE MACRO bq.hex_bytes(a VARCHAR) AS unhex(a);
CREATE OR REPLACE MACRO bq.base2_text(a BLOB) AS
  array_to_string(list_transform(bq.to_code_points(a), lambda x: lpad(bin(x), 8, '0')), '');
CREATE OR REPLACE MACRO bq.base2_bytes(a VARCHAR) AS
  CASE WHEN (CASE WHEN NOT regexp_full_match(a, '[01]*') OR length(a) % 8 <> 0
  THEN bq.fail('Failed to decode invalid base2 string') ELSE FALSE END) THEN NULL
  ELSE unhex(array_to_string(list_transform(range(0, length(a), 8),
    lambda i: printf('%02X', list_sum(list_transform(range(8), lambda b: CAST(substr(a, i + b + 1, 1) AS BIGINT) << (7 - b))))), '')) END;
CREATE OR REPLACE MACRO bq.base64_text(a BLOB) AS base64(a);
CREATE OR REPLACE MACRO bq.base64_bytes(a VARCHAR) AS from_base64(regexp_replace(a, '\s', '', 'g'));
CREATE OR REPLACE MACRO bq.base64m_text(a BLOB) AS
  rtrim(regexp_replace(base64(a), '(.{76})', '\1' || chr(10), 'g'), chr(10));
CREATE OR REPLACE MACRO bq.base64m_bytes(a VARCHAR) AS bq.base64_bytes(a);
CREATE OR REPLACE MACRO bq.all_ascii(a, ascii) AS
  CASE WHEN (CASE WHEN NOT ascii THEN bq.fail('Input contains characters that are not ASCII') ELSE FALSE END)
  THEN NULL ELSE a END;
CREATE OR REPLACE MACRO bq.ascii_text(a BLOB) AS bq.all_ascii(decode(a), octet_length(a) = length(decode(a)));
CREATE OR REPLACE MACRO bq.ascii_bytes(a VARCHAR) AS bq.all_ascii(encode(a), octet_length(encode(a)) = length(a));
CREATE OR REPLACE MACRO bq.utf8_text(a BLOB) AS decode(a);
CREATE OR REPLACE MACRO bq.utf8_bytes(a VARCHAR) AS encode(a);

-- JSON
CREATE OR REPLACE MACRO bq.json_type(a) AS
  CASE json_type(a) WHEN 'OBJECT' THEN 'object' WHEN 'ARRAY' THEN 'array' WHEN 'VARCHAR' THEN 'string'
  WHEN 'BOOLEAN' THEN 'boolean' WHEN 'NULL' THEN 'null' ELSE CASE WHEN a IS NOT NULL THEN 'number' END END;
CREATE OR REPLACE MACRO bq.json_is(a, kinds, name) AS
  CASE WHEN (CASE WHEN a IS NOT NULL AND NOT list_contains(kinds, json_type(a))
  THEN bq.fail('The provided JSON input is not ' || name) ELSE FALSE END) THEN NULL ELSE a END;
CREATE OR REPLACE MACRO bq.json_int64(a) AS
  CASE WHEN json_type(a) = 'DOUBLE' AND CAST(a AS DOUBLE) = floor(CAST(a AS DOUBLE)) THEN CAST(CAST(a AS DOUBLE) AS BIGINT)
  ELSE CAST(bq.json_is(a, ['BIGINT', 'UBIGINT'], 'an integer') AS BIGINT) END;
CREATE OR REPLACE MACRO bq.json_float64(a) AS
  CAST(bq.json_is(a, ['BIGINT', 'UBIGINT', 'DOUBLE'], 'a number') AS DOUBLE);
CREATE OR REPLACE MACRO bq.json_bool(a) AS CAST(bq.json_is(a, ['BOOLEAN'], 'a boolean') AS BOOLEAN);
CREATE OR REPLACE MACRO bq.string(a JSON) AS json_extract_string(bq.json_is(a, ['VARCHAR'], 'a string'), '$'),
  (a TIMESTAMPTZ) AS bq.timestamp_text(a, 'UTC'),
  (a) AS CAST(a AS VARCHAR);
CREATE OR REPLACE MACRO bq.json_query(a JSON, path) AS json_extract(a, path),
  (a VARCHAR, path) AS CASE WHEN json_valid(a) THEN nullif(CAST(json_extract(a, path) AS VARCHAR), 'null') END;
CREATE OR REPLACE MACRO bq.json_value(a, path) AS
  CASE WHEN json_valid(a) THEN
    CASE WHEN json_type(json_extract(a, path)) NOT IN ('OBJECT', 'ARRAY') THEN json_extract_string(a, path) END END;
CREATE OR REPLACE MACRO bq.json_query_array(a JSON, path) AS
  CASE WHEN json_type(a, path) = 'ARRAY' THEN CAST(json_extract(a, path) AS JSON[]) END,
  (a VARCHAR, path) AS
  CASE WHEN json_valid(a) THEN CASE WHEN json_type(a, path) = 'ARRAY'
  THEN CAST(CAST(json_extract(a, path) AS JSON[]) AS VARCHAR[]) END END;
CREATE OR REPLACE MACRO bq.json_scalars(a) AS
  CASE WHEN len(list_filter(a, lambda item: json_type(item) IN ('ARRAY', 'OBJECT'))) = 0
  THEN list_transform(a, lambda item: json_extract_string(item, '$')) END;
CREATE OR REPLACE MACRO bq.json_value_array(a, path) AS
  CASE WHEN json_valid(a) THEN CASE WHEN json_type(a, path) = 'ARRAY'
  THEN bq.json_scalars(CAST(json_extract(a, path) AS JSON[])) END END;
CREATE OR REPLACE MACRO bq.json_number(a) AS
  CASE WHEN isnan(a) THEN '"NaN"' WHEN isinf(a) THEN CASE WHEN a > 0 THEN '"Infinity"' ELSE '"-Infinity"' END
  WHEN a = floor(a) AND abs(a) < 1e15 THEN printf('%.1f', a) ELSE bq.digits(a) END;
CREATE OR REPLACE MACRO bq.to_json_string(a) AS
  CASE WHEN a IS NULL THEN 'null' ELSE CASE typeof(a)
  WHEN 'TIMESTAMP WITH TIME ZONE' THEN '"' || replace(replace(CAST(a AS VARCHAR), ' ', 'T'), '+00', 'Z"')
  WHEN 'TIMESTAMP' THEN '"' || replace(CAST(a AS VARCHAR), ' ', 'T') || '"'
  WHEN 'BLOB' THEN '"' || base64(CAST(CAST(a AS VARCHAR) AS BLOB)) || '"'
  WHEN 'BIGINT' THEN CASE WHEN abs(TRY_CAST(CAST(a AS VARCHAR) AS HUGEINT)) > 9007199254740992
    THEN '"' || CAST(a AS VARCHAR) || '"' ELSE CAST(a AS VARCHAR) END
  WHEN 'DOUBLE' THEN bq.json_number(TRY_CAST(CAST(a AS VARCHAR) AS DOUBLE))
  WHEN 'DECIMAL(38,9)' THEN rtrim(rtrim(CAST(a AS VARCHAR), '0'), '.')
  ELSE CAST(to_json(a) AS VARCHAR) END END;
CREATE OR REPLACE MACRO bq.printed(a DOUBLE) AS coalesce(trim(bq.json_number(a), '"'), 'NULL'),
  (a DECIMAL(38, 9)) AS coalesce(rtrim(rtrim(CAST(a AS VARCHAR), '0'), '.'), 'NULL'),
  (a BIGINT) AS coalesce(CAST(a AS VARCHAR), 'NULL'), (a HUGEINT) AS coalesce(CAST(a AS VARCHAR), 'NULL'),
  (a) AS coalesce(CAST(a AS VARCHAR), 'NULL');
