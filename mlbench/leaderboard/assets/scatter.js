"use strict";
// A plot of points that are links: quality upwards, something else to the right. The same numbers stand in a table.
//
// `x` and `y` are axes: `label`, `write(value)`, and `log` for one in powers of ten. A point has `title`, `href` and its
// place; one whose place is not known is named below the plot.
board.scatter = (place, { title, x, y, points }) => {
  const [width, height, left, right, top, bottom] = [560, 340, 56, 16, 14, 46];
  const known = points.filter((point) => point.x !== null && point.y !== null && !(x.log && point.x <= 0));
  const axis = ({ log, ...about }, values, from, to) => {
    const scaled = values.map((value) => (log ? Math.log10(value) : value));
    const [least, most] = [Math.min(...scaled), Math.max(...scaled)];
    const step = log ? 1 : [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1].map((each) => each * 10 ** Math.ceil(Math.log10(Math.max(most - least, 1e-9)))).find((each) => (most - least) / each <= 6);
    const [low, high] = [Math.floor(least / step) * step, Math.max(Math.ceil(most / step - 1e-9), Math.floor(least / step) + 1) * step];
    const ticks = Array.from({ length: Math.round((high - low) / step) + 1 }, (_, index) => low + index * step);
    const at = (value) => from + ((value - low) / (high - low)) * (to - from);
    return { ...about, at: (value) => at(log ? Math.log10(value) : value), ticks: ticks.map((tick) => [at(tick), log ? 10 ** tick : tick]) };
  };
  const table = board.table(title, ["entry", x.label, y.label], points.map((point) => [
    board.make("th", { scope: "row" }, board.make("a", { href: point.href }, point.title)),
    point.x === null ? "·" : x.write(point.x), point.y === null ? "·" : y.write(point.y),
  ]));
  const figure = board.make("figure", {}, board.make("figcaption", {}, title));
  if (known.length) {
    const [across, up] = [axis(x, known.map((point) => point.x), left, width - right), axis(y, known.map((point) => point.y), height - bottom, top)];
    const svg = board.draw("svg", { viewBox: `0 0 ${width} ${height}`, class: "scatter", role: "group", "aria-label": title });
    const words = (text, at, more = {}) => board.draw("text", { x: at[0], y: at[1], "aria-hidden": "true", ...more }, text);
    for (const [at, tick] of across.ticks) {
      svg.append(board.draw("line", { x1: at, x2: at, y1: top, y2: height - bottom }), words(x.write(tick), [at, height - bottom + 16], { "text-anchor": "middle", class: "soft" }));
    }
    for (const [at, tick] of up.ticks) {
      svg.append(board.draw("line", { x1: left, x2: width - right, y1: at, y2: at }), words(y.write(tick), [left - 6, at + 4], { "text-anchor": "end", class: "soft" }));
    }
    svg.append(words(x.label, [(left + width - right) / 2, height - 8], { "text-anchor": "middle" }), words(y.label, [0, 0], { "text-anchor": "middle", transform: `translate(12 ${(top + height - bottom) / 2}) rotate(-90)` }));
    // A name stands on the side of its point that is free; without such a side, it is told by the link alone.
    const taken = known.map((point) => [across.at(point.x) - 7, across.at(point.x) + 7, up.at(point.y) - 7, up.at(point.y) + 7]);
    const free = (box) => box[0] > left && box[1] < width && taken.every((other) => box[1] < other[0] || box[0] > other[1] || box[3] < other[2] || box[2] > other[3]);
    for (const point of known) {
      const [cx, cy] = [across.at(point.x), up.at(point.y)];
      const link = board.draw("a", { href: point.href, "aria-label": `${point.title}: ${x.label} ${x.write(point.x)}, ${y.label} ${y.write(point.y)}` },
        board.draw("title", {}, `${point.title}: ${x.write(point.x)}, ${y.write(point.y)}`),
        board.draw("circle", { cx, cy, r: 12, class: "touch" }), board.draw("circle", { cx, cy, r: 5.5 }));
      const name = point.title.length > 28 ? `${point.title.slice(0, 27)}…` : point.title;
      const long = 6.6 * name.length;
      const sides = [[cx + 10, cx + 10 + long, "start"], [cx - 10 - long, cx - 10, "end"]];
      const side = sides.find(([from, to]) => free([from, to, cy - 7, cy + 7]));
      if (side) {
        taken.push([side[0], side[1], cy - 7, cy + 7]);
        link.append(words(name, [side[2] === "start" ? side[0] : side[1], cy + 4], { "text-anchor": side[2] }));
      }
      svg.append(link);
    }
    figure.append(svg);
  }
  const missing = points.length - known.length;
  if (missing) figure.append(board.make("p", { class: "soft" }, `${missing} ${missing === 1 ? "entry is" : "entries are"} not drawn: ${x.label} or ${y.label} is 0 or not known.`));
  figure.append(board.make("details", {}, board.make("summary", {}, "The same numbers as a table"), table));
  place.append(figure);
};
