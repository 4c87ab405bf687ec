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
  // On a phone the menu is one strip: where one is, is in sight.
  document.addEventListener("DOMContentLoaded", () => {
    const strip = document.querySelector(".ledger-menu"), here = strip?.querySelector("[aria-current]");
    if (here && strip.scrollWidth > strip.clientWidth) strip.scrollLeft = here.offsetLeft - 40;
  });
  const dialog = () => document.getElementById("ledger-dialog");
  const shade = () => document.getElementById("ledger-shade");
  const body = () => document.getElementById("dialog-body");
  let opener = null, watcher = null, going = null;
  // Not showModal(): it makes all the rest inert, which restyles and repaints a timetable of 2,000 bars twice a card.
  // The shade keeps fingers out, the focus stays inside, aria-modal tells screen readers, Escape and 戻る close.
  const show = () => {
    const box = dialog(), fresh = !box.open;
    if (fresh) {
      shade().hidden = false;
      box.show();
      if ("CloseWatcher" in window) {
        watcher = new window.CloseWatcher();
        watcher.onclose = () => { watcher = null; box.close(); };
      }
    }
    box.scrollTop = 0;
    const title = box.querySelector("h1");
    if (title) { title.id ||= "dialog-title"; box.setAttribute("aria-labelledby", title.id); }
    if (box.contains(document.activeElement)) return;
    (box.querySelector("[autofocus]") ?? (fresh ? stops(box)[0] : null) ?? box).focus({ preventScroll: true });
  };
  const byHtmx = (url) => {
    dialog().close();
    window.htmx.ajax("GET", url, { target: "#dialog-body", swap: "outerHTML" });
  };
  // ``first``: what can be shown before the answer comes. Of two presses the later counts; what was closed stays so.
  const open = async (url, from, first = null) => {
    if (!dialog().open) opener = from;
    going?.abort();
    const mine = going = new AbortController();
    const wait = setTimeout(() => mine.abort(), 10000);
    const asked = fetch(url, { headers: { "HX-Request": "true" }, credentials: "same-origin", signal: mine.signal });
    if (first) { body().replaceChildren(first); show(); }
    try {
      const answer = await asked;
      const text = await answer.text();
      if (going !== mine) return;
      going = null;
      // Errors, orders to log in: htmx knows what to do with them.
      if (!answer.ok || answer.headers.get("HX-Redirect") || answer.headers.get("HX-Retarget")) { byHtmx(url); return; }
      // Not htmx.swap(): its settling classes cost a restyle and a paint more. Such a fragment has nothing out of band.
      const parts = document.createElement("template");
      parts.innerHTML = text;
      body().replaceWith(parts.content);
      window.htmx.process(body());
      show();
    } catch {
      if (going !== mine) return;
      going = null;
      byHtmx(url);
    } finally { clearTimeout(wait); }
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
    if (event.target.id === "dialog-body" && dialog() && body().childElementCount) show();
  });
  document.addEventListener("ledger:close", () => dialog()?.close());
  document.addEventListener("close", (event) => {
    // The event comes a little later: another card may be open by then.
    if (event.target.id !== "ledger-dialog" || event.target.open) return;
    shade().hidden = true;
    going?.abort();
    going = null;
    watcher?.destroy();
    watcher = null;
    body().replaceChildren();
    if (opener?.isConnected) opener.focus();
    opener = null;
  }, true);
  // A select of 200 seats is filled when somebody goes to it, before its list opens.
  const fillSelect = (event) => {
    const select = event.target.closest?.("select");
    const rest = select && dialog()?.contains(select) && dialog().querySelector(`template[data-options="${select.id}"]`);
    if (!rest) return;
    const value = select.value;
    select.replaceChildren(rest.content);
    select.value = value;
    rest.remove();
  };
  document.addEventListener("pointerdown", fillSelect, true);
  document.addEventListener("focusin", fillSelect);
  const stops = (box) => [...box.querySelectorAll("a[href], button, input, select, textarea, [tabindex]")]
    .filter((part) => part.type !== "hidden" && !part.disabled && part.tabIndex >= 0 && part.checkVisibility());
  document.addEventListener("keydown", (event) => {
    const box = dialog();
    if (!box?.open || event.defaultPrevented) return;
    if (event.key === "Escape" && watcher === null) { event.preventDefault(); box.close(); }
    if (event.key !== "Tab" || event.altKey || event.ctrlKey || event.metaKey) return;
    const all = stops(box), at = all.indexOf(document.activeElement);
    if (at > 0 && at < all.length - 1) return;
    if (at === 0 && !event.shiftKey && all.length > 1) return;
    if (at === all.length - 1 && event.shiftKey && all.length > 1) return;
    event.preventDefault();
    (event.shiftKey ? all.at(-1) : all[0])?.focus();
  });
  document.addEventListener("focusin", (event) => {
    const box = dialog();
    if (box?.open && !box.contains(event.target)) (stops(box)[0] ?? box).focus();
  });
  // A pressed order button keeps the focus when its list is swapped.
  let pressed = null;
  document.addEventListener("htmx:beforeSwap", () => { pressed = document.activeElement?.id || null; });
  document.addEventListener("htmx:afterSettle", () => {
    if (pressed && document.activeElement === document.body) document.getElementById(pressed)?.focus({ preventScroll: true });
  });
})();
