"use strict";
// What all pages share: their data, their address, and how numbers and colours are written.
// Whatever an entry or a task is called, only what data files say of it is found by its name.
const board = { byName: (values) => Object.assign(Object.create(null), values) };
board.entries = board.byName();
board.tasks = board.byName();

// Data files call these.
board.know = (name, entry) => { board.entries[name] = { ...entry, tasks: board.byName(entry.tasks) }; };
board.knowTask = (name, task) => { board.tasks[name] = task; };

// Loads the data files of some entries, then goes on; pages from a disk may load scripts and nothing else.
board.load = (names, then) => {
  const missing = names.filter((name) => !board.entries[name]);
  if (!missing.length) return then();
  const script = document.createElement("script");
  script.src = `entries/${missing[0]}.js`;
  script.addEventListener("load", () => board.load(names, then));
  document.head.append(script);
};

// Makes an element of a page; children are elements or texts, which stay texts whatever they hold.
board.make = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// A table in a region of its own that scrolls, with a caption for those who hear it; a cell is a text or an element.
board.table = (title, heads, rows, kind = "") => {
  const cell = (tag, scope) => (content) => (content instanceof Element ? content : board.make(tag, scope, content));
  return board.make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": title },
    board.make("table", { class: kind }, board.make("caption", {}, title),
      board.make("thead", {}, board.make("tr", {}, ...heads.map(cell("th", { scope: "col" })))),
      board.make("tbody", {}, ...rows.map(([first, ...others]) => board.make("tr", {}, cell("th", { scope: "row" })(first), ...others.map(cell("td", {})))))));
};

board.draw = (tag, attributes = {}, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

// Numbers that are packed in 16 bits each, in base64: whole units, the smallest of all for none.
board.unpack = (text, unit = 10000) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 2 }, (_, at) => {
    const whole = view.getInt16(2 * at, true);
    return whole === -32768 ? null : whole / unit;
  });
};

// Shares that are packed in thousandths, in 12 bits each, in base64: all ones for none.
board.unpackShares = (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Array.from({ length: Math.floor((bytes.length * 2) / 3) }, (_, at) => {
    const [low, high] = [bytes[Math.floor(1.5 * at)], bytes[Math.floor(1.5 * at) + 1]];
    const whole = at % 2 ? (low >> 4) | (high << 4) : low | ((high & 15) << 8);
    return whole === 4095 ? null : whole / 1000;
  });
};

// Numbers without a leading zero: .412, 1.000, -.031, 10,846; none is a dot.
board.decimal = (value, digits = 3) => {
  if (value === null || value === undefined) return "·";
  const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const sign = value < 0 && Number(text.replaceAll(",", "")) !== 0 ? "-" : "";
  return sign + (digits ? text.replace(/^0/, "") : text);
};

// A rank distance has a decimal where it is small.
board.distance = (value) => board.decimal(value, value !== null && Math.abs(value) < 1000 ? 1 : 0);

board.signed = (text) => (/^[-·]/.test(text) || !/[1-9]/.test(text) ? text : `+${text}`);

// How far a value is from the best, up to a constant: better are lower or higher ones, or those nearer to a number.
board.loss = (value, better) => (better === "higher" ? -value : better === "lower" ? value : Math.abs(value - better));

board.title = (measure) => ({ AP: "mAP", RR: "MRR" })[measure] || measure;

board.spoken = (name) => name.replaceAll("_", " ");

board.kinds = {
  monolingual: "mono", cross_lingual: "cross", multilingual: "multi",
  text_to_image: "to image", image_to_text: "to text", image_to_pool: "to pool",
};

// What a cell of a map is about, in words.
board.setting = (row, column, columns) => {
  if (columns) return `${row} captions ${column === "to image" ? "asked of images" : "asked for by images"}`;
  return `${row} queries, ${column === "pool" ? "documents of all languages" : `${column} documents`}`;
};

// Viridis (Smith and van der Walt 2015), and RdBu (Brewer 2003) without its darkest ends.
const VIRIDIS = [0x440154, 0x482878, 0x3e4989, 0x31688e, 0x26828e, 0x1f9e89, 0x35b779, 0x6ece58, 0xb5de2b, 0xfde725];
const RED_TO_BLUE = [0xb2182b, 0xd6604d, 0xf4a582, 0xfddbc7, 0xf7f7f7, 0xd1e5f0, 0x92c5de, 0x4393c3, 0x2166ac];

// A scale from `low` to `high`: the colour of a value, and black or white on it, whichever is easier to read.
board.scale = (low, high, stops) => {
  const channels = (value) => {
    const place = Math.min(1, Math.max(0, (value - low) / (high - low))) * (stops.length - 1);
    const below = Math.min(Math.floor(place), stops.length - 2);
    return [16, 8, 0].map((shift) => {
      const [from, to] = [stops[below], stops[below + 1]].map((colour) => (colour >> shift) & 255);
      return Math.round(from + (to - from) * (place - below));
    });
  };
  const linear = (channel) => (channel <= 10 ? channel / 3294.6 : ((channel / 255 + 0.055) / 1.055) ** 2.4);
  return {
    low,
    high,
    stops: stops.map((colour) => [16, 8, 0].map((shift) => (colour >> shift) & 255)),
    colour: (value) => `rgb(${channels(value).join(",")})`,
    ink: (value) => {
      const [red, green, blue] = channels(value).map(linear);
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
    },
  };
};

// The narrowest scale between tenths that holds all values.
board.sequential = (values) => {
  const known = values.filter((value) => value !== null);
  if (!known.length) return board.scale(0, 1, VIRIDIS);
  const low = Math.floor(Math.min(...known) * 10 + 1e-9);
  const high = Math.max(Math.ceil(Math.max(...known) * 10 - 1e-9), low + 1);
  return board.scale(low / 10, high / 10, VIRIDIS);
};

// A scale as far down as up; a colour that stands for less than .01 would cry wolf.
board.diverging = (values) => {
  const largest = Math.max(0, ...values.filter((value) => value !== null).map(Math.abs));
  const reach = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1].find((each) => each >= largest) || 1;
  return board.scale(-reach, reach, RED_TO_BLUE);
};

// What the page shows stands in its address, so that a link shows the same to others. `show` draws the page for a
// state; fields of the form that have a name are part of it, and their first choice, or what `data-first` says, needs no words.
board.follow = (form, show) => {
  const fields = [...form.elements].filter((field) => field.name);
  const first = (field) => field.dataset.first ?? (field.options ? field.options[0].value : "");
  const update = (changes) => {
    const state = { ...read(), ...changes };
    const known = Object.entries(state).filter(([, value]) => value);
    const text = new URLSearchParams(known).toString().replaceAll("%2C", ",").replaceAll("%40", "@");
    history.replaceState(null, "", `${location.pathname}${location.search}${text ? `#${text}` : ""}`);
    enter();
  };
  const read = () => {
    const state = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
    for (const field of fields) {
      const known = !field.options || [...field.options].some((option) => option.value === state[field.name]);
      if (!known || state[field.name] === first(field)) delete state[field.name];
    }
    return state;
  };
  const enter = () => {
    const state = read();
    for (const field of fields) {
      const value = state[field.name] || first(field);
      if (field.value !== value) field.value = value;
    }
    show(state, update);
  };
  form.addEventListener("input", (event) => {
    if (event.target.name) update({ [event.target.name]: event.target.value === first(event.target) ? "" : event.target.value });
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    history.replaceState(null, "", location.pathname + location.search);
    enter();
  });
  window.addEventListener("hashchange", enter);
  // The address is taken: this link moves the focus, and leaves what is shown as it is.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("content").focus();
  });
  form.hidden = false;
  enter();
};
