"use strict";
(() => {
  // A table that is wider than the screen is scrolled by keyboard too.
  const reach = () => document.querySelectorAll(".table-wrap").forEach((wrap) => {
    const wide = wrap.scrollWidth > wrap.clientWidth;
    wrap.toggleAttribute("tabindex", wide);
    if (wide) {
      wrap.tabIndex = 0;
      wrap.setAttribute("role", "region");
      wrap.setAttribute("aria-label", "横にスクロールできる表");
    } else {
      wrap.removeAttribute("role");
      wrap.removeAttribute("aria-label");
    }
  });
  document.addEventListener("DOMContentLoaded", reach);
  document.addEventListener("htmx:afterSettle", reach);
  window.addEventListener("resize", reach);

  // Hundreds of stores to tick: typing narrows the list, what is ticked stays ticked.
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-narrows]").forEach((box) => {
    const labels = document.getElementById(box.dataset.narrows).querySelectorAll("label");
    const plain = (text) => text.normalize("NFKC").toLowerCase().trim();
    box.hidden = false;
    box.addEventListener("input", () => labels.forEach((label) => { label.hidden = !plain(label.textContent).includes(plain(box.value)); }));
    box.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  }));

  // One menu at a time; Esc and a press beside it close it.
  const close = (but) => document.querySelectorAll(".portal-menu details[open]").forEach((menu) => {
    if (menu !== but) menu.open = false;
  });
  document.addEventListener("click", (event) => close(event.target.closest?.(".portal-menu details")));
  document.addEventListener("keydown", (event) => {
    const open = event.key === "Escape" && document.querySelector(".portal-menu details[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
  });
})();
