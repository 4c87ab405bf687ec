"use strict";
(() => {
  document.documentElement.classList.add("js");

  // Arrow keys move between tiles by their place on the screen; the first press goes to the first tile.
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  document.addEventListener("keydown", (event) => {
    const step = steps[event.key], active = document.activeElement;
    if (!step || event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const here = active?.closest?.(".tile");
    if (!here) {
      const first = document.querySelector(".tile");
      if (first && (!active || active === document.body || active.id === "main")) { first.focus(); event.preventDefault(); }
      return;
    }
    const from = here.getBoundingClientRect();
    let best = null;
    document.querySelectorAll(".tile").forEach((tile) => {
      const to = tile.getBoundingClientRect();
      const dx = to.left - from.left, dy = to.top - from.top;
      if (tile === here || dx * step[0] + dy * step[1] <= 1) return;
      const cost = Math.abs(dx) * (step[0] ? 1 : 4) + Math.abs(dy) * (step[1] ? 1 : 4);
      if (best === null || cost < best.cost) best = { cost, tile };
    });
    if (best) { best.tile.focus(); event.preventDefault(); }
  });

  // A failed refresh never replaces the list by an error page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const id = event.detail.target?.id;
    if (id === "rows" && event.detail.xhr.status >= 500) event.detail.shouldSwap = false;
  });

  // What somebody reads of an outage stays open while the table list is brought up to date.
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const { target, fragment } = event.detail;
    if (target.id === "outage" && target.querySelector("details[open]")) fragment.querySelector("details")?.setAttribute("open", "");
  });

  // − and ＋, and the usual party sizes.
  const press = (box) => {
    document.querySelectorAll(`[data-picks="${box.id}"] button`).forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.value === box.value.normalize("NFKC").trim()));
    });
  };
  document.addEventListener("click", (event) => {
    const by = event.target.closest("[data-by]"), pick = event.target.closest("[data-value]");
    if (by) {
      const frame = by.closest("[data-stepper]"), box = frame.querySelector("input"), step = Number(frame.dataset.step);
      const value = Number.parseInt(box.value.normalize("NFKC"), 10);
      box.value = String(Number.isNaN(value) ? step : Math.max(step === 1 ? 1 : step, value + Number(by.dataset.by) * step));
      press(box);
    } else if (pick) {
      const box = document.getElementById(pick.closest("[data-picks]").dataset.picks);
      box.value = pick.dataset.value;
      press(box);
    }
  });
  document.addEventListener("input", (event) => { if (event.target.id) press(event.target); });

  // The HANDY's menu closes on Esc and on a tap beside it.
  const menus = () => document.querySelectorAll("details.handy-menu[open]");
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") menus().forEach((menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });
  document.addEventListener("click", (event) => menus().forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; }));

  // 注文 is pressed forty times in a row: the page comes back where it was, under the same finger.
  const kept = "stay:" + location.pathname;
  document.addEventListener("submit", (event) => {
    if (event.target.matches("[data-stay]")) sessionStorage.setItem(kept, String(window.scrollY));
  });
  document.addEventListener("DOMContentLoaded", () => {
    const place = sessionStorage.getItem(kept);
    sessionStorage.removeItem(kept);
    if (place !== null) window.scrollTo(0, Number(place));
  });

  // A hall of 120 tables: whoever comes back from a table sees that part of the hall, not its first row.
  const hall = "place:" + location.pathname;
  window.addEventListener("pagehide", () => {
    if (document.querySelector("[data-keeps-place]")) sessionStorage.setItem(hall, String(window.scrollY));
  });
  document.addEventListener("DOMContentLoaded", () => {
    const place = sessionStorage.getItem(hall);
    if (place !== null && document.querySelector("[data-keeps-place]")) window.scrollTo(0, Number(place));
  });

  // Back to a form after its press (bfcache): show what stands now instead of what was sent.
  window.addEventListener("pageshow", (event) => { if (event.persisted && !document.querySelector("[data-live]")) location.reload(); });
  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-picks]").forEach((picks) => press(document.getElementById(picks.dataset.picks))));

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

  // 閉局: the drawer adds up while it is counted; the server counts again.
  const yen = (amount) => `${amount < 0 ? "−" : ""}¥${Math.abs(amount).toLocaleString("ja-JP")}`;
  const whole = (text) => {
    const value = text.normalize("NFKC").replaceAll(",", "").trim();
    return /^[0-9]{1,9}$/.test(value) ? Number(value) : 0;
  };
  const drawers = (root) => root.querySelectorAll("form[data-drawer]").forEach((form) => {
    const part = (name) => form.querySelector(`[data-${name}]`);
    part("count").hidden = true;
    const add = () => {
      let total = 0;
      form.querySelectorAll("input[data-piece]").forEach((input) => {
        const sum = whole(input.value) * Number(input.dataset.piece);
        input.closest("tr").querySelector("[data-yen]").textContent = yen(sum);
        total += sum;
      });
      const expected = Number(part("expected").dataset.base) + whole(part("float").value);
      const difference = total - expected;
      part("expected").textContent = yen(expected);
      form.elements.expected_yen.value = expected;
      part("counted").textContent = yen(total);
      const text = yen(difference) + (difference ? (difference > 0 ? "　多い" : "　不足") : "");
      if (part("difference").textContent !== text) part("difference").textContent = text;
      part("difference").classList.toggle("over", difference !== 0);
    };
    form.addEventListener("input", add);
    add();
  });
  document.addEventListener("DOMContentLoaded", () => { keypads(document); drawers(document); });
})();
(() => {
  // 会計: the keypad, what is left and the change while the amount is typed; printing. All of it works without this.
  const figure = (text) => Number((text || "").normalize("NFKC").replace(/[^0-9]/g, "")) || 0;
  const yen = (amount) => `¥${amount.toLocaleString("ja-JP")}`;
  const due = (field) => {
    const total = Number(field.form.dataset.total), bar = document.querySelector("[data-due]");
    if (!bar) return;
    const given = figure(field.value), drafted = Number(bar.dataset.change);
    bar.querySelector("[data-due-rest]").textContent = yen(Math.max(0, total - given));
    bar.querySelector("[data-due-change]").textContent = yen(drafted + Math.max(0, given - total));
  };
  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("[data-paypad]").forEach((pad) => {
      const field = document.getElementById(pad.dataset.paypad);
      pad.hidden = false;
      if (window.matchMedia("(pointer: coarse)").matches) field.setAttribute("inputmode", "none");
      pad.addEventListener("click", (event) => {
        const key = event.target.closest("[data-key]")?.dataset.key;
        if (!key) return;
        const digits = String(figure(field.value) || "");
        field.value = key === "back" ? digits.slice(0, -1) : (digits + key).replace(/^0+/, "").slice(0, 8);
        due(field);
      });
      field.addEventListener("input", () => due(field));
    });
    document.querySelectorAll("[data-print]").forEach((button) => {
      button.hidden = false;
      button.addEventListener("click", () => window.print());
    });
  });
  // What opens behind the bar at the bottom is brought up to where it can be seen.
  document.addEventListener("toggle", (event) => {
    if (event.target.open && event.target.matches(".checkout details")) event.target.scrollIntoView({ block: "nearest" });
  }, true);
  document.addEventListener("click", (event) => {
    const closer = event.target.closest("[data-close-dialog]");
    if (closer) { event.preventDefault(); closer.closest("dialog").close(); }
  });
})();
