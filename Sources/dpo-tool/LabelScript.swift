extension LabelPage {
  static let script = #"""
    "use strict";
    const find = id => document.getElementById(id);
    const choices = {
      pairs: [
        {verdict: "left", label: "A is better", keys: ["ArrowLeft", "1", "a", "A"], key: "←", main: true},
        {verdict: "right", label: "B is better", keys: ["ArrowRight", "2", "b", "B"], key: "→", main: true},
        {verdict: "tie", label: "Equal", keys: ["=", "e", "E"], key: "="},
        {verdict: "both-bad", label: "Both bad", keys: ["x", "X", "-"], key: "X"},
      ],
      ranking: [{verdict: "ranked", label: "Save this order", keys: ["Enter"], key: "Enter", main: true}],
      thumbs: [
        {verdict: "down", label: "Bad", keys: ["ArrowLeft", "1"], key: "←", main: true},
        {verdict: "up", label: "Good", keys: ["ArrowRight", "2"], key: "→", main: true},
      ],
    };
    const others = [
      {verdict: "skip", label: "Skip", keys: ["s", "S"], key: "S"},
      {verdict: "undo", label: "Undo", keys: ["u", "U", "Backspace"], key: "U"},
    ];
    const titles = {
      pairs: "Which answer is better?", ranking: "Put the answers in order", thumbs: "Is this a good answer?",
    };
    const nameOf = index => index < 26 ? String.fromCharCode(65 + index) : String(index + 1);
    let state = null;
    let waits = false;
    let markdown = false;
    // Of a ranking: answers that have a place, best first; equal: as good as the one before it.
    let order = [];

    function fill(place, parts, marked) {
      place.replaceChildren();
      for (const part of parts) {
        if (part.role) place.append(element("div", {class: "role"}, part.role));
        place.append(...textElements(part.text, markdown, marked));
      }
    }

    function makeButtons() {
      const list = [...choices[state.mode], ...others];
      find("actions").className = state.mode;
      find("actions").replaceChildren(...list.map(choice => {
        const button = element("button", {type: "button", id: choice.verdict,
          "aria-keyshortcuts": choice.keys[0], class: choice.main ? "main" : ""},
          choice.label, element("kbd", {"aria-hidden": "true"}, choice.key));
        button.addEventListener("click", () => act(choice.verdict));
        return button;
      }));
    }

    /* What a verdict was, in the words of its button. */
    function words(last) {
      if (last.verdict === "ranked") return orderText(last.ranks);
      const choice = [...choices[state.mode], ...others].find(choice => choice.verdict === last.verdict);
      return choice ? choice.label : last.verdict;
    }

    function orderText(ranks) {
      const best = ranks.map((rank, index) => ({rank, index})).sort((a, b) => a.rank - b.rank || a.index - b.index);
      return best.map((entry, place) =>
        (place === 0 ? "" : entry.rank === best[place - 1].rank ? " = " : " > ") + nameOf(entry.index)).join("");
    }

    function showTexts() {
      const question = state.question;
      fill(find("prompt"), question.prompt, false);
      const whole = question.answers.map(parts => parts.map(part => part.text).join("\n"));
      const marked = whole.map(text => whole.some(other => other !== text && other.trim() === text.trim()));
      find("answers").querySelectorAll(".text").forEach((place, index) => fill(place, question.answers[index], marked[index]));
    }

    function showQuestion() {
      const count = state.question.answers.length;
      const columns = count <= 3 ? count : count === 4 ? 2 : 3;
      for (const [name, value] of [["count", count], ["columns", columns], ["rows", Math.ceil(count / columns)]]) {
        find("answers").style.setProperty(`--${name}`, value);
      }
      find("answers").replaceChildren(...state.question.answers.map((parts, index) => {
        const name = count === 1 ? "Answer" : `Answer ${nameOf(index)}`;
        const head = element("div", {class: "head"}, element("h2", {}, name));
        if (state.mode === "ranking") {
          const button = element("button", {type: "button", class: "place"});
          button.addEventListener("click", () => place(index));
          head.append(button);
        }
        return element("article", {"aria-label": name}, head,
          element("div", {class: "text", dir: "auto", tabindex: "0", role: "group", "aria-label": `${name}, text`}));
      }));
      showTexts();
    }

    function show(told, undone) {
      const question = state.question;
      if (!find("actions").childElementCount) makeButtons();
      document.querySelector("h1").textContent = titles[state.mode];
      find("bar").max = state.total;
      find("bar").value = state.done;
      find("count").textContent = `${state.done} of ${state.total}`
        + (state.postponed ? `, ${state.postponed} skipped` : "");
      find("who").textContent = [`Annotator: ${state.annotator}`, ...state.agreements.map(agreement)].join(" · ");
      find("question").hidden = !question;
      find("end").hidden = !!question;
      find("comment").hidden = !question;
      find("comment").value = undone?.comment ?? "";
      order = undone?.verdict === "ranked" ? orderOf(undone.ranks) : [];
      if (question) showQuestion(); else find("summary").textContent = summary();
      showOrder();
      lock();
      const again = question?.again ? "It was skipped before; skipped again, it is left out. " : "";
      find("status").className = undone ? "undone" : "";
      find("status").textContent = told + (question
        ? `Question ${state.done + 1} of ${state.total}. ${again}` : "All questions are judged.").trim();
      document.querySelector("main").scrollTo(0, 0);
      find(question ? "prompt-title" : "end-title").focus({preventScroll: true});
    }

    function summary() {
      const count = name => state.counts[name] ?? 0;
      const given = [
        [count("first") + count("second"), "compared"], [count("tie"), "equal"], [count("both-bad"), "both bad"],
        [count("ranked"), "put in order"], [count("up"), "good"], [count("down"), "bad"], [count("skip"), "skipped"],
      ].filter(([number]) => number > 0).map(([number, word]) => `${number} ${word}`).join(", ");
      return `${given}. The labelled rows are in ${state.output}. `
        + "You can undo, or close this page and press Ctrl-C in the terminal.";
    }

    function agreement(entry) {
      const kappa = entry.kappa === null ? "" : `, κ ${entry.kappa.toFixed(2)}`;
      return `with ${entry.annotator}: ${Math.round(entry.observed * 100)} % of ${entry.count} equal${kappa}`;
    }

    function lock() {
      for (const button of find("actions").children) {
        button.disabled = waits || (button.id === "undo" ? !state.last : !state.question
          || button.id === "ranked" && order.length < state.question.answers.length);
      }
    }

    function warn(text) {
      find("alert").hidden = !text;
      find("alert").textContent = text;
    }

    // Ranking

    function orderOf(ranks) {
      const best = ranks.map((rank, index) => ({rank, index})).sort((a, b) => a.rank - b.rank || a.index - b.index);
      return best.map((entry, place) => ({index: entry.index, equal: place > 0 && entry.rank === best[place - 1].rank}));
    }

    /* 1 for the best, by answer. */
    function ranks() {
      const found = [];
      let rank = 1;
      order.forEach((entry, place) => { found[entry.index] = rank = entry.equal ? rank : place + 1; });
      return found;
    }

    /* Gives an answer the next place, or takes its place away. */
    function place(index) {
      if (!state.question || index >= state.question.answers.length) return;
      const at = order.findIndex(entry => entry.index === index);
      if (at < 0) order.push({index, equal: false}); else order.splice(at, 1);
      orderChanged();
    }

    function move(from, to) {
      if (from === to || to < 0 || to >= order.length) return;
      const [moved] = order.splice(from, 1);
      if (order[from]) order[from].equal = false;
      moved.equal = false;
      order.splice(to, 0, moved);
      if (order[to + 1]) order[to + 1].equal = false;
      orderChanged();
    }

    function orderChanged() {
      if (order[0]) order[0].equal = false;
      showOrder();
      lock();
    }

    function showOrder() {
      const shown = state.mode === "ranking" && !!state.question;
      find("order").hidden = !shown;
      if (!shown) return;
      const rank = ranks();
      find("answers").querySelectorAll(".place").forEach((button, index) => {
        button.setAttribute("aria-pressed", rank[index] !== undefined);
        button.setAttribute("aria-keyshortcuts", nameOf(index));
        button.replaceChildren(rank[index] === undefined ? "Next best" : `Place ${rank[index]}`);
        if (index < 9) button.append(element("kbd", {"aria-hidden": "true"}, String(index + 1)));
      });
      const parts = order.flatMap((entry, place) => {
        const name = nameOf(entry.index);
        const chip = element("button", {type: "button", class: "chip", "data-place": place,
          "aria-label": `Answer ${name}, place ${rank[entry.index]}; left and right arrow move it`}, name);
        if (place === 0) return [chip];
        const relation = element("button", {type: "button", class: "relation", "aria-pressed": entry.equal,
          "aria-label": `${nameOf(order[place - 1].index)} and ${name} are equal`}, entry.equal ? "=" : ">");
        relation.addEventListener("click", () => { entry.equal = !entry.equal; orderChanged(); });
        return [relation, chip];
      });
      const missing = state.question.answers.length - order.length;
      if (missing > 0) {
        parts.push(element("span", {class: "hint"}, order.length === 0
          ? "Choose the best answer, then the next one, by click or number; drag letters to change the order."
          : `${missing} to go`));
      }
      find("order").replaceChildren(...parts);
    }

    function focusChip(place) { find("order").querySelector(`[data-place="${place}"]`)?.focus(); }

    // What is dragged stands at `place`; the order was `before` when the drag began at `from`.
    let drag = null;
    find("order").addEventListener("pointerdown", event => {
      const chip = event.target.closest(".chip");
      if (!chip || event.button !== 0) return;
      const from = Number(chip.dataset.place);
      drag = {from, place: from, before: order};
      chip.classList.add("dragged");
      find("order").setPointerCapture(event.pointerId);
    });
    find("order").addEventListener("pointermove", event => {
      const over = drag && document.elementFromPoint(event.clientX, event.clientY)?.closest("#order .chip");
      if (!over || Number(over.dataset.place) === drag.place) return;
      drag.place = Number(over.dataset.place);
      order = drag.before.map(entry => ({...entry}));
      if (drag.place === drag.from) orderChanged(); else move(drag.from, drag.place);
      find("order").querySelector(`[data-place="${drag.place}"]`).classList.add("dragged");
    });
    for (const name of ["pointerup", "pointercancel"]) {
      find("order").addEventListener(name, () => {
        if (!drag) return;
        find("order").querySelector(".dragged")?.classList.remove("dragged");
        focusChip(drag.place);
        drag = null;
      });
    }

    // Asking the server

    async function ask(path, body) {
      if (waits) return;
      waits = true;
      if (state) lock();
      const before = state?.last;
      try {
        const response = await fetch(path, body
          ? {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)} : {});
        if (response.status !== 200 && response.status !== 409) throw new Error(await response.text());
        const isDone = response.status === 200;
        state = await response.json();
        warn(isDone ? "" : "This was already judged in another window; this page now shows where you are.");
        waits = false;
        const undone = isDone && path === "undo" ? before : undefined;
        show(undone ? `Undone: “${words(undone)}” is taken back. `
          : isDone && path === "answer" ? `Saved: “${words(state.last)}”; U undoes it. ` : "", undone);
      } catch (error) {
        waits = false;
        if (state) lock();
        warn(error instanceof TypeError
          ? "dpo label does not answer; is it still running? What you judged before is saved."
          : `Not saved: ${error.message}`);
      }
    }

    function act(verdict) {
      if (!state || waits) return;
      if (verdict === "undo") {
        if (state.last) ask("undo", {revision: state.revision});
      } else if (state.question) {
        const body = {question: state.question.id, verdict, revision: state.revision};
        const comment = find("comment").value.trim();
        if (comment) body.comment = comment;
        if (verdict === "ranked") {
          if (order.length < state.question.answers.length) return;
          body.ranks = ranks();
        }
        ask("answer", body);
      }
    }

    function toggleMarkdown() {
      markdown = !markdown;
      find("markdown").setAttribute("aria-pressed", markdown);
      if (state?.question) showTexts();
    }

    function toggleHelp() {
      if (find("help").open) return find("help").close();
      const shown = key => ({ArrowLeft: "←", ArrowRight: "→"})[key] ?? key;
      const entries = [...choices[state.mode], ...others].map(choice =>
        [[...new Set(choice.keys.map(key => shown(key.length === 1 ? key.toUpperCase() : key)))], choice.label]);
      if (state.mode === "ranking") {
        entries.unshift([["1", "…", "9", "A", "…", "I"], "This answer is the next best; again: it has no place"],
          [["="], "The last two that you placed are equal, or not"], [["←", "→"], "On a letter of the order: move it"]);
      }
      entries.push([["/"], "Write a comment; Escape or Enter leaves it"], [["M"], "Show the texts as Markdown, or as they are"],
        [["?"], "This help"]);
      find("help-keys").replaceChildren(...entries.flatMap(([keys, label]) => [
        element("dt", {}, ...keys.map(key => key === "…" ? "… " : element("kbd", {}, key))), element("dd", {}, label)]));
      find("help").showModal();
    }

    find("markdown").addEventListener("click", toggleMarkdown);
    find("keys").addEventListener("click", () => { if (state) toggleHelp(); });

    /* What a key does on the page as a whole; undefined: nothing. */
    function keyAction(event) {
      const {key, target} = event;
      if (key === "?") return toggleHelp;
      if (find("help").open) return undefined;
      if (key === "/" && state.question) return () => find("comment").focus();
      if (key === "m" || key === "M") return toggleMarkdown;
      if (state.mode === "ranking" && state.question) {
        const chip = target.closest(".chip");
        if (chip && (key === "ArrowLeft" || key === "ArrowRight")) {
          const from = Number(chip.dataset.place);
          const to = Math.max(0, Math.min(order.length - 1, from + (key === "ArrowLeft" ? -1 : 1)));
          return () => { move(from, to); focusChip(to); };
        }
        if (key === "=" && order.length > 1) {
          const last = order[order.length - 1];
          return () => { last.equal = !last.equal; orderChanged(); };
        }
        const index = "123456789".indexOf(key) + 1 || "ABCDEFGHI".indexOf(key.toUpperCase()) + 1;
        if (key.length === 1 && index > 0) return () => place(index - 1);
        // Enter presses the button that has the focus.
        if (key === "Enter" && target.closest("button") && !target.closest(".place, .chip")) return undefined;
      }
      const choice = [...choices[state.mode], ...others].find(choice => choice.keys.includes(key));
      return choice && (() => act(choice.verdict));
    }

    document.addEventListener("keydown", event => {
      if (!state || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
      if (event.target === find("comment")) {
        if (event.key === "Escape" || event.key === "Enter") { event.preventDefault(); find("prompt-title").focus(); }
        return;
      }
      const action = keyAction(event);
      if (!action) return;
      event.preventDefault();
      action();
    });

    // Another window may have gone on meanwhile.
    addEventListener("focus", async () => {
      if (!state || waits) return;
      try {
        const found = await (await fetch("state")).json();
        if (found.revision !== state.revision && !waits) { state = found; warn(""); show(""); }
      } catch { }
    });

    ask("state");

    """#
}
