"use strict";
(() => {
  const banner = () => document.getElementById("connection-banner");
  let probing = null;

  const probe = async () => {
    try {
      const answer = await fetch("/healthz", { cache: "no-store" });
      if (!answer.ok) return;
      banner().hidden = true;
      clearInterval(probing);
      probing = null;
    } catch { /* still away */ }
  };
  const lost = () => {
    banner().hidden = false;
    document.querySelectorAll("form[aria-busy]").forEach((form) => form.removeAttribute("aria-busy"));
    if (probing === null) probing = setInterval(probe, 2000);
  };
  window.addEventListener("offline", lost);
  window.addEventListener("online", probe);
  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
  document.addEventListener("live:lost", lost);

  // A second press while the first is under way does nothing; the button itself is never disabled.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method === "dialog") return;
    if (form.hasAttribute("aria-busy")) { event.preventDefault(); event.stopPropagation(); return; }
    if (form.method === "post" && !navigator.onLine) { event.preventDefault(); lost(); return; }
    form.setAttribute("aria-busy", "true");
    setTimeout(() => form.removeAttribute("aria-busy"), 10000);
  }, true);
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[aria-busy]").forEach((form) => form.removeAttribute("aria-busy"));
  });
  document.addEventListener("htmx:afterRequest", (event) => event.target.closest?.("form")?.removeAttribute("aria-busy"));

  // The page is the answer to a POST (a refused form, an issued code): without this, back and reload end on the browser's own
  // 「フォーム再送信の確認」, or do the same once more.
  document.addEventListener("DOMContentLoaded", () => {
    const from = document.referrer;
    if ("answered" in document.body.dataset && from.startsWith(location.origin + "/")) history.replaceState(null, "", from);
  });

  const openers = new WeakMap();
  const show = (dialog, opener) => {
    if (dialog.open) dialog.close();
    dialog.showModal();
    openers.set(dialog, opener);
  };
  document.addEventListener("click", (event) => {
    const opener = event.target.closest("[data-open-dialog]");
    if (opener) show(document.getElementById(opener.dataset.openDialog), opener);
  });
  document.addEventListener("close", (event) => openers.get(event.target)?.focus(), true);
  const autoOpen = (root) => root.querySelectorAll("dialog[data-auto-open]").forEach((dialog) => {
    dialog.removeAttribute("open");
    show(dialog, document.querySelector(dialog.dataset.autoOpen || "#main"));
  });

  const tokyo = new Intl.DateTimeFormat("ja-JP", { hour: "2-digit", minute: "2-digit", timeZone: "Asia/Tokyo" });
  const clock = () => {
    const text = tokyo.format(new Date());
    document.querySelectorAll("[data-clock]").forEach((element) => { if (element.textContent !== text) element.textContent = text; });
  };
  document.addEventListener("DOMContentLoaded", () => { autoOpen(document); clock(); setInterval(clock, 1000); });
  document.addEventListener("htmx:afterSettle", (event) => { autoOpen(event.target); clock(); });
})();
