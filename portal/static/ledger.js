"use strict";
// One dialog for the ledger: a link with data-dialog opens its page's named block in it; without JS it is a page.
document.documentElement.classList.add("js");
(() => {
  document.addEventListener("change", (event) => { if (event.target.matches("[data-autosubmit]")) event.target.form.requestSubmit(); });
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-print]")) window.print();
    const pick = event.target.closest(".day-pick");
    if (pick) { try { pick.querySelector("input").showPicker(); } catch { /* the field itself opens it */ } }
  });
  const dialog = () => document.getElementById("ledger-dialog");
  let opener = null;
  const open = (url, from) => {
    opener = from;
    window.htmx.ajax("GET", url, { target: "#dialog-body", swap: "outerHTML" });
  };
  window.ledgerDialog = open;
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    if (link && dialog() && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
      event.preventDefault();
      open(link.href, link);
      return;
    }
    const close = event.target.closest("[data-close]");
    if (close && dialog()?.contains(close)) { event.preventDefault(); dialog().close(); }
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    const box = dialog();
    if (!box || event.target.id !== "dialog-body") return;
    if (document.getElementById("dialog-body").childElementCount && !box.open) box.showModal();
    box.querySelector("[autofocus]")?.focus();
  });
  document.addEventListener("ledger:close", () => dialog()?.close());
  document.addEventListener("close", (event) => {
    if (event.target.id !== "ledger-dialog") return;
    document.getElementById("dialog-body").replaceChildren();
    if (opener?.isConnected) opener.focus();
    opener = null;
  }, true);
  // A pressed order button keeps the focus when its list is swapped.
  let pressed = null;
  document.addEventListener("htmx:beforeSwap", () => { pressed = document.activeElement?.id || null; });
  document.addEventListener("htmx:afterSettle", () => {
    if (pressed && document.activeElement === document.body) document.getElementById(pressed)?.focus({ preventScroll: true });
  });
})();
