// The prune console: a slider for each target. Estimates follow the hand in every frame; the server's
// measured number replaces them. Called by Streamlit with new data; the page's own state stays here.

const consoles = new WeakMap();
const SEND_EVERY = 90; // ms between values sent while dragging
const LOST_AFTER = 1500; // ms after which a value without an answer is sent again
const SETTLE_AFTER = 350; // ms of rest before the whole page follows
const TYPING_PAUSE = 300; // ms after the last key before a keyboard move counts as released
const SMALL_SHARE = 0.05;

export default function ({ data, parentElement, setStateValue }) {
  let console_ = consoles.get(parentElement);
  if (!console_) {
    console_ = new Console(parentElement.querySelector(".pc"));
    consoles.set(parentElement, console_);
  }
  console_.send = (events) => setStateValue("events", events);
  console_.receive(data);
  return () => {
    console_.stop();
    consoles.delete(parentElement);
  };
}

class Console {
  constructor(root) {
    this.root = root;
    this.events = []; // not yet confirmed by the server
    this.nextId = 1;
    this.ratios = {};
    this.locked = new Set();
    this.dragging = null; // the target in hand, or "*" for all
    this.gesture = "";
    this.sentAt = 0;
    this.moved = false; // a value that was not sent yet
    this.comparing = false;
    this.dirty = new Set();
    this.timers = {};
  }

  stop() {
    Object.values(this.timers).forEach(clearTimeout);
    cancelAnimationFrame(this.frame);
  }

  // ---- from the server

  receive(data) {
    const isNew = !this.data || this.data.id !== data.id;
    this.data = data;
    this.events = this.events.filter((e) => e.id > data.state.ack);
    this.nextId = Math.max(this.nextId, data.state.ack + 1);
    if (isNew) {
      this.events = [];
      this.dragging = null;
      this.moved = false;
      this.locked = new Set(data.state.locked);
      this.adopt();
      this.build();
    } else {
      if (this.isAtRest()) this.adopt();
      for (const row of data.rows) this.rowParts.get(row.target).row = row; // channels picked meanwhile
    }
    for (const [name, colour] of Object.entries(data.palette)) this.root.style.setProperty(`--${name}`, colour);
    this.drawCurves();
    this.paintAll();
    this.flush();
    this.follow();
  }

  adopt() {
    this.ratios = { ...this.data.state.ratios };
  }

  isAtRest() {
    return this.dragging === null && !this.moved && !this.events.some((e) => e.kind !== "more" && e.kind !== "settled");
  }

  // ---- to the server

  emit(kind, content = {}) {
    this.events.push({ id: this.nextId++, kind, ...content });
    this.transmit();
  }

  transmit() {
    this.root.dataset.state = "busy";
    this.sentAt = performance.now();
    this.send([...this.events]);
  }

  /** Send the present ratios, but only one unanswered value at a time while dragging. */
  flush() {
    clearTimeout(this.timers.flush);
    if (!this.moved) return;
    const now = performance.now();
    const isWaiting = this.events.some((e) => e.kind === "move") && now - this.sentAt < LOST_AFTER;
    const wait = isWaiting ? LOST_AFTER : SEND_EVERY - (now - this.sentAt);
    if ((isWaiting || wait > 0) && this.dragging !== null) {
      this.timers.flush = setTimeout(() => this.flush(), Math.max(wait, 10));
      return;
    }
    this.moved = false;
    this.events = this.events.filter((e) => e.kind !== "move" && e.kind !== "more");
    const hand = this.hand === "*" ? null : this.hand;
    this.emit("move", { ratios: this.cuts(), hand, gesture: this.gesture });
  }

  /** Ask for the next reading, or let the page follow once the number is exact and the hand rests. */
  follow() {
    clearTimeout(this.timers.settle);
    const reading = this.data.reading;
    if (!reading || !this.isAtRest() && this.dragging === null) return;
    if (this.events.some((e) => e.kind === "move") || this.moved) return;
    if (!reading.exact) {
      if (!this.events.some((e) => e.kind === "more")) this.emit("more");
    } else if (this.data.state.unsettled && this.dragging === null) {
      this.timers.settle = setTimeout(() => this.isAtRest() && this.emit("settled"), SETTLE_AFTER);
    }
  }

  cuts() {
    return Object.fromEntries(Object.entries(this.ratios).filter(([, r]) => r > 0));
  }

  // ---- the hand

  grab(target) {
    if (this.hand !== target || this.dragging === null) this.gesture = `${Date.now()}-${target}`;
    this.hand = target;
    this.dragging = target;
    clearTimeout(this.timers.settle);
  }

  drag(target, ratio) {
    if (this.dragging !== target) this.grab(target);
    const targets = target === "*" ? this.free() : [target];
    for (const t of targets) {
      this.ratios[t] = ratio;
      this.dirty.add(t);
    }
    this.moved = true;
    this.schedule();
    this.flush();
  }

  release() {
    if (this.dragging === null) return;
    this.releasedAt = performance.now();
    this.dragging = null;
    this.flush();
    this.follow();
    this.schedule();
  }

  /** Keys move a native slider without a pointer: a pause is the release. */
  releaseSoon() {
    clearTimeout(this.timers.key);
    this.timers.key = setTimeout(() => this.release(), TYPING_PAUSE);
  }

  set(target, ratio) {
    this.grab(target);
    this.drag(target, ratio);
    this.release();
  }

  free() {
    return this.data.rows.map((row) => row.target).filter((t) => !this.locked.has(t));
  }

  toggleLock(target) {
    if (!this.locked.delete(target)) this.locked.add(target);
    this.emit("lock", { targets: [...this.locked] });
    this.dirty.add(target);
    this.schedule();
  }

  // ---- counts and estimates, as analysis/pruning/ledger.py and analysis/sensitivity.py define them

  gone(row, ratio) {
    if (this.comparing) return 0;
    const count = Math.floor(ratio * row.size + 0.5);
    if (this.data.granularity === "weight") return Math.min(count, row.size);
    const cut = Math.min(count, row.size - row.floor);
    return row.gone ? row.gone[cut] : cut; // with channels picked by hand, as the server's table says
  }

  counts(ratios) {
    const { ledger, rows } = this.data;
    let { parameters, macs } = ledger;
    const gone = Object.fromEntries(rows.map((row) => [row.target, this.gone(row, ratios[row.target] || 0)]));
    for (const entry of ledger.entries) {
      const left = { out: entry.outputs, in: entry.inputs };
      for (const t of entry.takings) left[t.side] -= t.table ? t.table[gone[t.group]] : t.each * gone[t.group];
      const [pairs, squares] = [left.out * left.in, left.out * left.out];
      parameters += entry.pair_parameters * pairs + entry.output_parameters * left.out + entry.square_parameters * squares;
      macs += entry.pair_macs * pairs + entry.output_macs * left.out + entry.square_macs * squares;
    }
    for (const [target, taken] of Object.entries(ledger.products)) macs -= taken[gone[target]];
    let nonzero = null;
    if (this.data.granularity === "weight") {
      nonzero = ledger.nonzero;
      for (const row of rows) nonzero += row.nonzero[Math.round(100 * (ratios[row.target] || 0))];
    }
    return { parameters, macs, nonzero };
  }

  shareKept(target, ratio) {
    const { dense, floor } = this.data;
    const points = [[0, dense.value], ...this.data.curves[target], [1, floor]];
    const right = points.findIndex(([x]) => x >= ratio);
    if (right === 0) return 1;
    const [x0, y0] = points[right - 1];
    const [x1, y1] = points[right];
    const value = y0 + ((y1 - y0) * (ratio - x0)) / (x1 - x0);
    return Math.max(0, (value - floor) / (dense.value - floor));
  }

  predict(ratios, anchor) {
    const { dense, floor, curves } = this.data;
    if (dense.value <= floor) return null;
    const start = anchor ? anchor.ratios : {};
    const value = anchor ? anchor.value : dense.value;
    let share = 1;
    for (const target of new Set([...Object.keys(ratios), ...Object.keys(start)])) {
      const [now, before] = [ratios[target] || 0, start[target] || 0];
      if (now === before) continue;
      if (!curves[target]) return null;
      share *= this.shareKept(target, now) / Math.max(this.shareKept(target, before), SMALL_SHARE);
    }
    return Math.min(Math.max(dense.value, value), floor + (value - floor) * share);
  }

  // ---- drawing

  build() {
    const root = this.root;
    root.replaceChildren();
    root.append(this.buildHead(), this.buildTools());
    this.list = element("div", "rows");
    this.rowParts = new Map();
    for (const row of this.data.rows) this.list.append(this.buildRow(row));
    for (const row of this.data.refused) this.list.append(this.buildRefused(row));
    root.append(this.list);
    root.onkeydown = (event) => {
      if (event.target.matches("input:not([type=range]), textarea")) return;
      if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
      event.preventDefault();
      this.emit(event.shiftKey ? "redo" : "undo");
    };
    root.onpaste = (event) => {
      if (event.target.matches("input:not([type=range]), textarea")) return;
      const text = event.clipboardData.getData("text");
      if (text.trim().startsWith("{")) this.emit("paste", { text });
    };
    this.arrange();
  }

  buildHead() {
    const head = element("div", "head");
    const number = element("div", "figure main");
    this.value = element("output", "value");
    this.change = element("span", "change");
    const line = element("div", "line");
    line.append(this.value, this.change);
    this.gauge = element("div", "gauge");
    this.band = element("div", "band");
    this.dot = element("div", "dot");
    this.denseMark = element("div", "dense");
    this.gauge.append(this.band, this.denseMark, this.dot);
    this.status = element("div", "status");
    this.status.setAttribute("role", "status");
    this.label = element("div", "label", this.data.metric.label);
    number.append(this.label, line, this.gauge, this.status);
    head.append(number);
    this.figures = {};
    const kinds = this.data.granularity === "weight" ? ["nonzero", "parameters", "macs"] : ["parameters", "macs"];
    const names = { nonzero: "Nonzero connections", parameters: "Parameters", macs: "MACs" };
    for (const kind of kinds) {
      const figure = element("div", "figure");
      const value = element("div", "value small");
      const change = element("div", "change");
      figure.append(element("div", "label", names[kind]), value, change);
      this.figures[kind] = { value, change };
      head.append(figure);
    }
    return head;
  }

  buildTools() {
    const tools = element("div", "tools");
    this.undo = button("Undo", "Take back the last move (Ctrl+Z)", () => this.emit("undo"));
    this.redo = button("Redo", "Bring it forward again (Ctrl+Shift+Z)", () => this.emit("redo"));
    this.reset = button("Reset", "Back to the dense network", () => this.emit("reset"));
    const compare = button("Hold: dense", "Hold to see the dense network", () => {});
    const hold = (on) => () => {
      this.comparing = on;
      this.paintAll();
    };
    compare.onpointerdown = hold(true);
    compare.onpointerup = compare.onpointerleave = compare.onblur = hold(false);
    compare.onkeydown = (e) => (e.key === " " || e.key === "Enter") && hold(true)();
    compare.onkeyup = hold(false);
    const paste = button("Paste plan", "Put a plan (JSON text) in force", () => {
      this.pasteBox.hidden = !this.pasteBox.hidden;
      if (!this.pasteBox.hidden) this.pasteBox.querySelector("textarea").focus();
    });
    const buttons = element("div", "buttons");
    buttons.append(this.undo, this.redo, this.reset, compare, paste);

    this.all = slider("All targets", 95);
    this.allText = element("span", "percent");
    this.wire(this.all, "*");
    const all = element("label", "all");
    all.append(element("span", "", "All targets"), this.all, this.allText);

    this.sort = document.createElement("select");
    this.sort.setAttribute("aria-label", "Sort rows by");
    for (const [value, text] of [["position", "by position"], ["size", "by size"], ["sensitivity", "by sensitivity"]])
      this.sort.append(new Option(text, value));
    this.sort.onchange = () => this.arrange();
    this.filter = document.createElement("input");
    this.filter.placeholder = "Filter by name";
    this.filter.setAttribute("aria-label", "Filter rows by name");
    this.filter.oninput = () => this.arrange();
    const order = element("div", "order");
    order.append(this.sort, this.filter);

    this.pasteBox = element("div", "paste");
    this.pasteBox.hidden = true;
    const text = document.createElement("textarea");
    text.setAttribute("aria-label", "Plan as JSON");
    text.placeholder = "Paste a plan saved by Prunescope";
    const use = button("Use this plan", "", () => {
      this.pasteBox.hidden = true;
      this.emit("paste", { text: text.value });
      text.value = "";
    });
    this.pasteBox.append(text, use);
    this.message = element("div", "message");
    this.message.setAttribute("role", "alert");
    const bar = element("div", "bar");
    this.beside = element("div", "beside");
    buttons.append(this.beside);
    bar.append(all, order, buttons);
    tools.append(bar, this.pasteBox, this.message);
    return tools;
  }

  buildRow(row) {
    const parts = { row, box: element("div", "row") };
    const name = row.members.join(" + ");
    parts.lock = button("", "", () => this.toggleLock(row.target));
    parts.lock.classList.add("lock");
    const about = element("div", "about");
    const title = element("div", "name", name);
    title.title = name;
    parts.meta = element("div", "meta");
    about.append(title, parts.meta);
    if (row.note) {
      const note = element("span", "note", " ≈");
      note.title = row.note;
      title.append(note);
    }
    const track = element("div", "track");
    parts.curve = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" });
    parts.points = element("div", "points");
    parts.input = slider(name, this.data.granularity === "channel" ? 95 : 100);
    this.wire(parts.input, row.target);
    track.append(parts.curve, parts.points, parts.input);
    track.ondblclick = () => !this.locked.has(row.target) && this.set(row.target, 0);
    track.title = "Drag; double-click to reset this row";
    parts.typed = document.createElement("input");
    parts.typed.type = "number";
    parts.typed.step = "any";
    parts.typed.setAttribute("aria-label", `${name}: ${this.data.way.label}`);
    parts.typed.onchange = () => {
      if (parts.typed.value !== "") this.emit("typed", { target: row.target, value: Number(parts.typed.value) });
      parts.typed.blur();
    };
    parts.unit = element("span", "unit", this.data.way.unit);
    const typed = element("label", "typed");
    typed.append(parts.typed, parts.unit);
    parts.kept = element("div", "kept");
    const left = element("div", "left");
    left.append(parts.kept);
    if (this.data.granularity === "channel") {
      const why = "Which channels go, and why: opens the Channel page at the next one to go";
      const open = button("which?", why, () => this.emit("open", { target: row.target }));
      open.className = "open";
      open.setAttribute("aria-label", `Channels of ${row.members.join(" + ")}`);
      left.append(open);
    }
    parts.own = element("div", "own");
    parts.box.append(parts.lock, about, track, typed, left, parts.own);
    this.rowParts.set(row.target, parts);
    return parts.box;
  }

  buildRefused(row) {
    const box = element("div", "row refused");
    box.dataset.name = row.members.join(" + ");
    const about = element("div", "about");
    about.append(element("div", "name", row.members.join(" + ")), element("div", "meta", row.type));
    box.append(element("span", "lock"), about, element("div", "reason", row.reason));
    return box;
  }

  wire(input, target) {
    input.onpointerdown = () => {
      input.dataset.pointer = "1";
      this.grab(target);
    };
    input.oninput = () => {
      this.drag(target, Number(input.value) / 100);
      if (!input.dataset.pointer) this.releaseSoon();
    };
    input.onpointerup = input.onpointercancel = input.onlostpointercapture = () => {
      if (!input.dataset.pointer) return;
      delete input.dataset.pointer;
      this.release();
    };
  }

  arrange() {
    const { rows } = this.data;
    const drop = (row) => (this.data.curves[row.target] ? 1 - this.shareKept(row.target, 0.5) : -1);
    const orders = {
      position: (a, b) => rows.indexOf(a) - rows.indexOf(b),
      size: (a, b) => b.share - a.share,
      sensitivity: (a, b) => drop(b) - drop(a),
    };
    const wanted = this.filter.value.toLowerCase();
    [...rows].sort(orders[this.sort.value]).forEach((row, i) => {
      const { box } = this.rowParts.get(row.target);
      box.style.order = i;
      box.hidden = !row.members.some((m) => m.toLowerCase().includes(wanted));
    });
    this.list.querySelectorAll(".refused").forEach((box) => {
      box.style.order = rows.length;
      box.hidden = !box.dataset.name.toLowerCase().includes(wanted);
    });
  }

  drawCurves() {
    const { dense, floor } = this.data;
    const top = Math.max(dense.value, floor + 1e-9);
    const height = (v) => 100 - 92 * Math.max(0, Math.min(1, (v - floor) / (top - floor)));
    for (const [target, parts] of this.rowParts) {
      const curve = this.data.curves[target] || [];
      const key = JSON.stringify(curve);
      if (parts.curveKey === key) continue;
      parts.curveKey = key;
      parts.curve.replaceChildren();
      parts.points.replaceChildren();
      if (!curve.length) continue;
      const max = Number(parts.input.max);
      const x = (ratio) => (100 * 100 * ratio) / max;
      const line = [[0, dense.value], ...curve].map(([r, v]) => `${x(r)},${height(v)}`);
      const last = x(curve[curve.length - 1][0]);
      parts.curve.append(
        svg("polygon", { points: `0,100 ${line.join(" ")} ${last},100`, class: "area" }),
        svg("polyline", { points: line.join(" "), class: "edge" }),
      );
      for (const [ratio, value, low, high] of curve) {
        const point = element("div", "point");
        point.style.left = `${x(ratio)}%`;
        point.style.top = `${height(value)}%`;
        point.title = `${percent(ratio)} removed: ${this.text(value)} (95% CI ${this.text(low)} to ${this.text(high)})`;
        parts.points.append(point);
      }
    }
    if (this.sort.value === "sensitivity" && this.dragging === null) this.arrange();
  }

  schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.dirty.forEach((target) => this.paintRow(target));
      this.dirty.clear();
      this.paintHead();
    });
  }

  paintAll() {
    for (const target of this.rowParts.keys()) this.paintRow(target);
    this.dirty.clear();
    this.paintHead();
  }

  paintRow(target) {
    const parts = this.rowParts.get(target);
    const { row, input } = parts;
    const ratio = this.comparing ? 0 : this.ratios[target] || 0;
    const locked = this.locked.has(target);
    const left = row.size - this.gone(row, ratio);
    const shown = `${Math.round(1000 * ratio) / 10}`;
    if (this.dragging !== target || !input.dataset.pointer) input.value = 100 * ratio;
    input.disabled = locked;
    input.style.setProperty("--at", (100 * ratio) / Number(input.max));
    const text = `${shown}% removed, ${group(left)} of ${group(row.size)} ${row.unit || this.data.granularity}s kept`;
    input.setAttribute("aria-valuetext", text);
    parts.box.classList.toggle("cut", left < row.size);
    parts.meta.textContent = row.by_hand || `${row.type} · ${percent(row.share)} of parameters`;
    parts.meta.title = `${row.type} · ${percent(row.share)} of parameters`;
    parts.meta.classList.toggle("picked", Boolean(row.by_hand));
    parts.box.classList.toggle("locked", locked);
    parts.lock.textContent = locked ? "locked" : "lock";
    parts.lock.setAttribute("aria-pressed", locked);
    parts.lock.title = locked ? "Let this row move again" : "Keep this row as it is when all targets move";
    parts.lock.setAttribute("aria-label", `Lock ${row.members.join(" + ")}`);
    const exactly = `${group(left)} of ${group(row.size)}`;
    parts.kept.textContent = row.size < 1e5 ? exactly : `${short(left)} of ${short(row.size)}`;
    parts.kept.classList.toggle("none", left === 0);
    parts.kept.title = left === 0 ? "No connection left: only its bias speaks" : `${exactly} ${this.data.granularity}s kept`;
    if (parts.typed !== this.root.getRootNode().activeElement) parts.typed.value = this.typedText(target, ratio);
    const own = this.data.curves[target] ? this.predict({ [target]: ratio }, null) : null;
    parts.own.textContent = ratio > 0 && own !== null ? this.delta(own - this.data.dense.value) : "";
    parts.own.title = "Estimated change if this row alone were cut";
  }

  typedText(target, ratio) {
    const { way, state } = this.data;
    if (way.label === "Ratio removed") return Math.round(1000 * ratio) / 10;
    if (way.label === "Ratio kept") return Math.round(1000 - 1000 * ratio) / 10;
    if (ratio !== (state.ratios[target] || 0)) return "";
    return Number((state.typed[target] || 0).toPrecision(3));
  }

  paintHead() {
    const { data } = this;
    const { dense, state, reading, metric } = data;
    const ratios = this.comparing ? {} : this.cuts();
    const counts = this.comparing ? { ...dense } : this.counts(ratios);
    if (sameRatios(ratios, state.ratios) && counts.nonzero !== null && state.nonzero !== null) counts.nonzero = state.nonzero;
    for (const [kind, parts] of Object.entries(this.figures)) {
      parts.value.textContent = short(counts[kind]);
      parts.value.title = group(counts[kind]);
      const change = dense[kind] ? Math.round(100 * (counts[kind] / dense[kind] - 1)) : 0;
      parts.change.textContent = change ? `${change}%` : "as dense";
      parts.change.className = `change ${change < 0 ? "good" : ""}`;
    }
    const isMeasured = !this.comparing && reading && sameRatios(ratios, state.ratios);
    const shown = this.comparing ? { value: dense.value, exact: true } : isMeasured ? reading : null;
    const guess = shown || (state.picked && !state.anchor) ? null : this.predict(ratios, state.anchor);
    const value = shown ? shown.value : guess;
    this.value.textContent = value === null ? "–" : this.text(value);
    this.root.classList.toggle("estimate", !shown);
    const change = value === null ? null : value - dense.value;
    const others = state.picked || state.beside; // what is gone beside the sliders' cuts
    const isDense = Object.keys(ratios).length === 0 && (this.comparing || !others);
    this.change.textContent = change === null || isDense ? "" : this.delta(change);
    const clear = Math.abs(change) >= (metric.percent ? 0.0005 : 0.0005);
    this.change.className = `change ${!clear ? "" : change < 0 ? "bad" : "good"}`;
    this.paintGauge(shown, value);
    this.status.textContent = this.statusText(shown, guess);
    const isDone = !reading || (reading.exact && !state.unsettled);
    this.root.dataset.state = this.isAtRest() && isDone ? "resting" : "busy";
    this.message.textContent = data.message;
    this.message.hidden = !data.message;
    this.undo.disabled = !state.can_undo;
    this.redo.disabled = !state.can_redo;
    this.reset.disabled = Object.keys(this.cuts()).length === 0 && !others;
    this.beside.textContent = state.beside ? `Cut as well: ${state.beside}.` : "";
    const free = this.free();
    const values = new Set(free.map((t) => this.ratios[t] || 0));
    const common = values.size === 1 ? [...values][0] : null;
    if (this.dragging !== "*") this.all.value = 100 * (common ?? 0);
    this.all.style.setProperty("--at", Number(this.all.value) / Number(this.all.max));
    this.allText.textContent = common === null ? "they differ" : `${Math.round(100 * common)}%`;
    this.all.setAttribute("aria-valuetext", common === null ? "the targets differ" : `${Math.round(100 * common)}% removed`);
  }

  paintGauge(shown, value) {
    const { dense, floor } = this.data;
    const top = this.data.metric.percent ? 1 : Math.max(dense.value, 1e-9);
    const at = (v) => `${100 * Math.max(0, Math.min(1, (v - floor) / (top - floor)))}%`;
    this.gauge.title = `From ${this.text(floor)} (guessing) to ${this.text(top)}; the thin line is the dense network`;
    this.denseMark.style.left = at(dense.value);
    this.dot.style.left = at(value ?? floor);
    this.dot.hidden = value === null;
    const low = shown && shown.low !== undefined ? shown.low : value;
    const high = shown && shown.high !== undefined ? shown.high : value;
    this.band.hidden = value === null;
    this.band.style.left = at(low ?? floor);
    this.band.style.width = `calc(${at(high ?? floor)} - ${at(low ?? floor)})`;
  }

  statusText(shown, guess) {
    const { reading, noun, prediction, state } = this.data;
    if (this.comparing) return `the dense network, exact on these ${group(reading ? reading.total : 0)} ${noun}`;
    if (!shown && state.picked && !state.anchor) return "measuring, with the channels picked by hand…";
    if (!shown && guess === null) return "no estimate until this target's sensitivity is measured; measuring…";
    if (!shown) return `estimate from the sensitivity curves${prediction ? `; ${prediction}` : ""}`;
    if (shown.exact) return `measured, exact on these ${group(shown.total)} ${noun}`;
    const range = `95% interval ${this.text(shown.low)} to ${this.text(shown.high)}`;
    return `measured on ${group(shown.examples)} of ${group(shown.total)} ${noun} so far; ${range}`;
  }

  text(value) {
    return this.data.metric.percent ? `${(100 * value).toFixed(1)}%` : value.toFixed(3);
  }

  delta(change) {
    const { percent: isPercent } = this.data.metric;
    const digits = isPercent ? (100 * change).toFixed(1) : change.toFixed(3);
    const clean = Number(digits) === 0 ? digits.replace("-", "") : digits;
    return `${Number(clean) >= 0 ? "+" : ""}${clean}${isPercent ? " points" : ""}`;
  }
}

// ---- small tools

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function svg(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function button(text, title, onclick) {
  const made = element("button", "", text);
  made.type = "button";
  made.title = title;
  made.onclick = onclick;
  return made;
}

function slider(name, max) {
  const made = document.createElement("input");
  Object.assign(made, { type: "range", min: "0", max: String(max), step: "1", value: "0" });
  made.setAttribute("aria-label", name);
  return made;
}

function sameRatios(a, b) {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => (a[name] || 0) === (b[name] || 0));
}

function group(count) {
  return count.toLocaleString("en-US");
}

function percent(share) {
  return `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`;
}

function short(count) {
  if (count < 1e4) return group(count);
  if (count < 1e6) return `${(count / 1e3).toFixed(1)} k`;
  if (count < 1e9) return `${(count / 1e6).toFixed(2)} M`;
  return `${(count / 1e9).toFixed(2)} G`;
}
