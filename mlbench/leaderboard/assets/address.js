"use strict";
// What the page shows stands in its address, so that a link shows the same to others.
const board = {};

board.address = {
  // All that the address says, by name.
  read() {
    return Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  },
  // Puts `state` into the address; what is empty is left out.
  write(state) {
    const known = Object.entries(state).filter(([, value]) => value);
    const text = new URLSearchParams(known).toString().replaceAll("%2C", ",").replaceAll("%40", "@");
    if (text !== location.hash.slice(1)) history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  },
};

// Lets the fields of a form and the address say the same: `show` draws the page for a state.
board.follow = (form, show) => {
  const fields = () => [...form.elements].filter((field) => field.name);
  const state = { };
  const update = (changes) => {
    Object.assign(state, changes);
    board.address.write(state);
    show(state, update);
  };
  const enter = () => {
    for (const key of Object.keys(state)) delete state[key];
    Object.assign(state, board.address.read());
    for (const field of fields()) {
      const first = field.options ? field.options[0].value : "";
      const known = !field.options || [...field.options].some((option) => option.value === state[field.name]);
      field.value = known && state[field.name] !== undefined ? state[field.name] : first;
      state[field.name] = field.value === first ? "" : field.value;
    }
    show(state, update);
  };
  form.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.name) return;
    update({ [field.name]: field.options && field.selectedIndex === 0 ? "" : field.value });
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => {
    for (const key of Object.keys(state)) state[key] = "";
    update({});
    enter();
  }));
  window.addEventListener("hashchange", enter);
  form.hidden = false;
  enter();
};
