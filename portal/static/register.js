"use strict";
(() => {
  // The keypad of a PIN: without this script the field itself is typed into.
  const keypads = (root) => root.querySelectorAll("form[data-keypad]").forEach((form) => {
    const field = form.querySelector("input[name=pin]");
    form.querySelector(".keypad").hidden = false;
    form.querySelector(".keypad-plain").hidden = true;
    if (window.matchMedia("(pointer: coarse)").matches) field.setAttribute("inputmode", "none");
    form.addEventListener("click", (event) => {
      const key = event.target.closest("[data-key]")?.dataset.key;
      if (key === undefined) return;
      if (key === "clear") field.value = "";
      else if (field.value.length < 6) field.value += key;
    });
  });
  document.addEventListener("DOMContentLoaded", () => keypads(document));
})();
