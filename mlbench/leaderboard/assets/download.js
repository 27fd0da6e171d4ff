"use strict";
// What a ranking shows, as a file: rows of plain values, of which a spreadsheet computes none.
board.toCsv = (rows) => {
  const names = [...new Set(rows.flatMap(Object.keys))];
  const field = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    const harmless = typeof value === "string" && /^[=+\-@\t\r＝＋－＠]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
  };
  return [names, ...rows.map((row) => names.map((name) => row[name]))].map((each) => each.map(field).join(",") + "\n").join("");
};

board.download = (name, type, text) => {
  const address = URL.createObjectURL(new Blob([text], { type }));
  board.make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
};
