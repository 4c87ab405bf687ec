"use strict";
// The timetable's fingers: press a bar for its card, an empty place to book or block, drag a bar to another seat or
// time (mouse at once, touch after a long press). All of it can be done by the forms without this script as well.
(() => {
  const grid = () => document.getElementById("grid");
  const tip = () => document.getElementById("drag-tip");
  const LONG = 350, SLACK = 8;
  let near = null, drag = null, quiet = false;

  const clockOf = (minutes) => `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
  const number = (bar, letter) => Number([...bar.classList].find((name) => /^[cw]\d+$/.test(name) && name[0] === letter)?.slice(1));
  const quarter = (row) => row.getBoundingClientRect().width / Number(grid().dataset.quarters);
  const token = () => document.querySelector("input[name=csrf_token]").value;

  // A card's head as the server words it, from what the bar says already: who, when, where and how many, at once.
  const firstLook = (bar) => {
    const card = document.getElementById("card-first").content.cloneNode(true);
    const put = (slot, text) => { card.querySelector(`[data-card="${slot}"]`).textContent = text; };
    const [start, stay] = bar.dataset.t?.split("+").map(Number)
      ?? [Number(grid().dataset.opens) + number(bar, "c") * 15, number(bar, "w") * 15];
    const [year, month, date] = grid().dataset.day.split("-").map(Number);
    const day = new Date(Date.UTC(year, month - 1, date + Math.floor(start / 1440)));
    const two = (value) => String(value).padStart(2, "0");
    const hm = (minutes) => clockOf(((minutes % 1440) + 1440) % 1440);
    put("name", bar.firstChild.textContent.trim());
    const party = /^(\d+)名/.exec(bar.lastChild.textContent);
    put("party", party && bar.lastChild !== bar.firstChild ? `　${party[1]}名` : "");
    put("time", `${day.getUTCFullYear()}/${two(day.getUTCMonth() + 1)}/${two(day.getUTCDate())}(${"日月火水木金土"[day.getUTCDay()]}) ${hm(start)}~${hm(start + stay)}(${stay}分)`);
    const seats = [...grid().querySelectorAll(`a[href="${bar.getAttribute("href")}"]`)].map((each) => each.parentElement.dataset.s);
    put("seats", seats.filter(Boolean).join("、") || "未定");
    card.querySelectorAll("[data-mark]").forEach((mark) => { if (!bar.classList.contains(mark.dataset.mark)) mark.remove(); });
    return card;
  };

  const begin = (from) => {
    const row = from.bar.parentElement;
    drag = { ...from, row, target: row, shift: 0, width: quarter(row) };
    from.bar.classList.add("dragging");
    row.parentElement.classList.add("lift");
    grid().dataset.dragging = "";
    if (from.touch) navigator.vibrate?.(15);
  };
  const forget = () => { clearTimeout(near?.timer); near = null; };
  const end = () => {
    if (!drag) return;
    drag.bar.classList.remove("dragging");
    drag.row.parentElement.classList.remove("lift");
    drag.bar.style.transform = "";
    drag.target.classList.remove("drop");
    delete grid().dataset.dragging;
    tip().hidden = true;
    drag = null;
  };

  const edge = (event) => {
    const box = grid().getBoundingClientRect();
    const pull = (at, low, high) => (at < low + 40 ? -18 : at > high - 40 ? 18 : 0);
    grid().scrollBy(pull(event.clientX, box.left + 130, box.right), pull(event.clientY, box.top + 40, box.bottom));
  };
  const over = (event) => {
    // A bar stays on its day: what lies before opening or after the last quarter is another day's page.
    const from = number(drag.bar, "c"), went = (event.clientX - drag.x + grid().scrollLeft - drag.scroll) / drag.width;
    const most = Number(grid().dataset.quarters) - Math.min(4, number(drag.bar, "w"));
    const within = Math.max(-from, Math.min(Math.max(0, most - from), went));
    drag.bar.style.transform = `translate(${event.clientX - drag.x + (within - went) * drag.width}px, ${event.clientY - drag.y}px)`;
    drag.shift = Math.round(within);
    const below = document.elementFromPoint(event.clientX, event.clientY)?.closest("#grid .rows > .r:not(.line) .g");
    if (below && below !== drag.target) {
      drag.target.classList.remove("drop");
      drag.target = below;
    }
    drag.target.classList.add("drop");
    const at = Number(grid().dataset.opens) + (number(drag.bar, "c") + drag.shift) * 15;
    tip().textContent = `${drag.target.dataset.s || "未定"} ${clockOf(at)}~`;
    tip().hidden = false;
    tip().style.transform = `translate(${event.clientX + 14}px, ${event.clientY - 40}px)`;
    edge(event);
  };
  const drop = () => {
    const { bar, row, target, shift } = drag;
    end();
    quiet = true;
    setTimeout(() => { quiet = false; }, 300);
    if (target === row && shift === 0) return;
    const opens = Number(grid().dataset.opens) / 15;
    window.ledgerOpener = bar.getAttribute("href");
    window.htmx.ajax("POST", `${bar.href}/move`, {
      target: "#dialog-body", swap: "outerHTML",
      values: { csrf_token: token(), from_seat: row.dataset.s, seat: target.dataset.s, shift: shift * 15, was: number(bar, "c") > 0 ? number(bar, "c") + opens : "" },
    });
  };

  document.addEventListener("pointerdown", (event) => {
    const bar = event.target.closest?.("#grid a.b");
    if (!bar || event.button !== 0 || bar.classList.contains("l")) return;
    const from = { bar, x: event.clientX, y: event.clientY, touch: event.pointerType !== "mouse", scroll: grid().scrollLeft };
    near = { from, timer: from.touch ? setTimeout(() => { if (near) { begin(near.from); near = null; } }, LONG) : null };
  });
  document.addEventListener("pointermove", (event) => {
    if (drag) { over(event); return; }
    if (!near) return;
    if (Math.hypot(event.clientX - near.from.x, event.clientY - near.from.y) < SLACK) return;
    // A finger that moves before the long press scrolls.
    if (near.from.touch) { forget(); return; }
    begin(near.from);
    near = null;
    over(event);
  });
  document.addEventListener("pointerup", () => { forget(); if (drag) drop(); });
  document.addEventListener("pointercancel", () => { forget(); end(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && drag) { event.preventDefault(); end(); quiet = true; setTimeout(() => { quiet = false; }, 300); } });
  document.addEventListener("touchmove", (event) => { if (drag) event.preventDefault(); }, { passive: false });
  document.addEventListener("contextmenu", (event) => { if (drag || near) event.preventDefault(); });
  document.addEventListener("dragstart", (event) => { if (event.target.closest?.("#grid")) event.preventDefault(); });

  document.addEventListener("click", (event) => {
    if (quiet) { event.preventDefault(); event.stopPropagation(); quiet = false; return; }
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const bar = event.target.closest("#grid a.b");
    if (bar) { event.preventDefault(); window.ledgerDialog(bar.href, bar, firstLook(bar)); return; }
    const row = event.target.closest("#grid .rows > .r:not(.line) .g");
    if (!row) return;
    const start = Number(grid().dataset.opens) + Math.floor((event.clientX - row.getBoundingClientRect().left) / quarter(row)) * 15;
    window.ledgerDialog(`timetable/block?day=${grid().dataset.day}&seat=${encodeURIComponent(row.dataset.s)}&start=${start}`, row);
  }, true);

  // The now-line moves by the minute; what is shown first is where it stands.
  const line = () => document.querySelector("#grid .now");
  let shown = Date.now();
  const tick = () => {
    const now = line();
    if (!now) return;
    const minutes = Number(now.dataset.now) + (Date.now() - shown) / 60000;
    now.style.gridColumnStart = "1";
    now.style.marginLeft = `${(minutes / 15) * quarter(now.parentElement)}px`;
  };
  const look = () => {
    shown = Date.now();
    tick();
    const now = line();
    if (now && !grid().dataset.looked) {
      grid().dataset.looked = "1";
      grid().scrollLeft = Math.max(0, (Number(now.dataset.now) / 15 - 6) * quarter(now.parentElement));
    }
  };
  let place = null;
  document.addEventListener("htmx:beforeSwap", () => { const box = grid(); place = box && [box.scrollLeft, box.scrollTop, box.dataset.looked]; });
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.target.id !== "grid" || !place) return;
    [grid().scrollLeft, grid().scrollTop] = place;
    grid().dataset.looked = place[2] || "1";
    shown = Date.now();
    tick();
    const back = window.ledgerOpener;
    if (back && document.activeElement === document.body) document.querySelector(`#grid a[href="${CSS.escape(back)}"]`)?.focus({ preventScroll: true });
    window.ledgerOpener = null;
  });
  document.addEventListener("live:refreshed", () => { if (grid()) grid().dataset.looked = "1"; shown = Date.now(); tick(); });
  document.addEventListener("DOMContentLoaded", look);
  window.addEventListener("resize", tick);
  setInterval(tick, 20000);
})();
