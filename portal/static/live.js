"use strict";
// Keeps a page's [data-live] region current (G2): by the stream's word, or by asking. Nothing is swapped under a
// finger: not while a dialog is open, a field of the region is being edited, a form is under way or a bar is dragged.
(() => {
  const regions = () => [...document.querySelectorAll("[data-live]")];
  const loading = new WeakSet();
  let source = null, open = false, opening = 0, missed = 0, waiting = false;
  let asked = Date.now();

  const editing = (region) => {
    const field = document.activeElement;
    return region.contains(field) && field.matches("input, textarea, select, [contenteditable]");
  };
  const busy = (region) => document.querySelector("dialog[open], form[aria-busy], [data-dragging]") !== null
    || region.querySelector("details[open]") !== null || editing(region);

  // What a swap must not lose: how far the page and its scrolling parts were moved, and where the finger stood.
  const remember = (region) => {
    const moved = [[null, window.scrollX, window.scrollY]];
    [region, ...region.querySelectorAll("[id]")].forEach((part) => {
      if (part.scrollLeft || part.scrollTop) moved.push([part.id, part.scrollLeft, part.scrollTop]);
    });
    const focus = document.activeElement;
    const link = region.contains(focus) ? focus.getAttribute("href") : null;
    return () => {
      moved.forEach(([id, left, top]) => {
        if (id === null) window.scrollTo({ left, top, behavior: "instant" });
        else document.getElementById(id)?.scrollTo({ left, top, behavior: "instant" });
      });
      if (link !== null && document.activeElement === document.body) {
        document.querySelector(`[data-live] a[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
      }
    };
  };

  const miss = () => {
    missed += 1;
    // One lost answer is nothing to tell a waiter of; the second in a row is.
    if (missed === 2) document.dispatchEvent(new CustomEvent("live:lost"));
  };

  const refresh = async (region) => {
    if (loading.has(region)) return;
    if (busy(region)) { waiting = true; return; }
    loading.add(region);
    asked = Date.now();
    try {
      const answer = await fetch(region.dataset.live, {
        headers: { "HX-Request": "true", "If-None-Match": region.dataset.liveTag },
        cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(10000),
      });
      const elsewhere = answer.headers.get("HX-Redirect");
      if (elsewhere) { window.location.assign(elsewhere); return; }
      if (answer.status !== 304 && !answer.ok) { miss(); return; }
      missed = 0;
      if (answer.status === 304) return;
      const text = await answer.text();
      if (busy(region) || !region.isConnected) { waiting = true; return; }
      const restore = remember(region);
      window.htmx.swap(region, text, { swapStyle: "outerHTML", swapDelay: 0, settleDelay: 0 });
      restore();
      document.dispatchEvent(new CustomEvent("live:refreshed"));
    } catch { miss(); } finally { loading.delete(region); }
  };
  const all = () => { waiting = false; regions().forEach(refresh); };

  const stop = () => { source?.close(); source = null; open = false; };
  const start = () => {
    const path = regions().find((region) => region.dataset.liveStream)?.dataset.liveStream;
    if (!path || source !== null || document.hidden || !("EventSource" in window)) return;
    opening = Date.now();
    source = new EventSource(path);
    source.addEventListener("v", (event) => {
      open = true;
      if (regions().some((region) => region.dataset.liveVersion !== event.data)) all();
    });
    source.addEventListener("poll", () => { open = false; });
    source.addEventListener("check", () => { open = true; setTimeout(all, Math.random() * 2000); });
    source.onerror = () => {
      open = false;
      // A refused stream does not come back by itself; it is tried again after a while, and polling goes on.
      if (source?.readyState === EventSource.CLOSED) stop();
    };
  };

  // A tab that nobody sees holds no stream: a browser has six connections to a server, for all its tabs together.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { stop(); return; }
    start();
    all();
  });
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => { if (event.persisted) { start(); all(); } });
  window.addEventListener("online", all);
  // Whoever lost a race saw an old picture; it must not stay until the next refresh (once the answer was read).
  document.addEventListener("htmx:afterRequest", (event) => { if (event.detail.xhr?.status === 409) all(); });
  document.addEventListener("close", () => { if (waiting) all(); }, true);
  document.addEventListener("focusout", () => setTimeout(() => { if (waiting) all(); }, 300));

  document.addEventListener("DOMContentLoaded", () => {
    if (regions().length === 0) return;
    start();
    setInterval(() => {
      const [region] = regions();
      if (!region || document.hidden) return;
      if (source === null && Date.now() - opening > 30000) start();
      const seconds = Number(open ? region.dataset.liveEvery : region.dataset.livePoll);
      if (waiting || Date.now() - asked >= seconds * 1000) all();
    }, 1000);
  });
})();
