extension LabelPage {
  /// Shows texts: as they are, with fenced code in monospace, or as Markdown. Everything is made of elements and their text, so
  /// that no text becomes HTML. Addresses are shown and cannot be followed.
  static let textScript = #"""
    "use strict";
    function element(name, attributes, ...children) {
      const made = document.createElement(name);
      for (const [key, value] of Object.entries(attributes)) {
        if (key === "class") made.className = value; else made.setAttribute(key, value);
      }
      made.append(...children);
      return made;
    }

    /* White space that can be seen. */
    function marks(text) {
      const shown = [...text].map(letter => letter === " " ? "␣" : letter === "\t" ? "⇥" : letter === "\n" ? "⏎\n"
        : `U+${letter.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")} `).join("");
      return element("span", {class: "marks"}, shown);
    }

    /* A message's text. `marked`: its white space at both ends is shown, because it is all that tells it from another. */
    function textElements(text, markdown, marked) {
      if (text === "") return [element("p", {class: "empty"}, "(empty)")];
      if (text.trim() === "") return [element("p", {class: "empty plain"}, "(white space only) ", marks(text))];
      const start = marked ? text.length - text.trimStart().length : 0;
      const end = marked ? text.trimEnd().length : text.length;
      const inner = text.slice(start, end);
      const blocks = markdown ? markdownBlocks(inner.split(/\r?\n/), 0) : plainBlocks(inner.split("\n"));
      if (start > 0) blocks[0].prepend(marks(text.slice(0, start)));
      if (end < text.length) blocks[blocks.length - 1].append(marks(text.slice(end)));
      return blocks;
    }

    /* The fence that a line opens: ``` or ~~~, or more of them. */
    function fenceOf(line) {
      const found = /^ {0,3}(`{3,}|~{3,})([^`]*)$/.exec(line);
      return found && {mark: found[1], language: found[2].trim()};
    }

    /* The line after the code that begins at `start`; one beyond the end if the fence is not closed. */
    function fenceEnd(lines, start, mark) {
      const close = new RegExp(`^ {0,3}${mark[0]}{${mark.length},}\\s*$`);
      let end = start;
      while (end < lines.length && !close.test(lines[end])) end += 1;
      return end;
    }

    function plainBlocks(lines) {
      const blocks = [];
      let text = [];
      const flush = () => {
        if (text.length) blocks.push(element("p", {class: "plain"}, text.join("\n")));
        text = [];
      };
      for (let line = 0; line < lines.length; line += 1) {
        const fence = fenceOf(lines[line]);
        if (!fence) { text.push(lines[line]); continue; }
        flush();
        const end = fenceEnd(lines, line + 1, fence.mark);
        const code = lines.slice(line + 1, end).map(line => line + "\n").join("");
        const made = element("pre", {}, element("span", {class: "fence"}, lines[line] + "\n"), element("code", {}, code));
        if (end < lines.length) made.append(element("span", {class: "fence"}, lines[end]));
        blocks.push(made);
        line = end;
      }
      flush();
      return blocks;
    }

    const deepest = 8;
    const itemStart = /^(\s*)([-*+]|\d{1,9}[.)])(\s+|$)(.*)$/;

    function markdownBlocks(lines, depth) {
      const blocks = [];
      let line = 0;
      const cells = row => row.trim().replace(/^\||\|$/g, "").split("|").map(cell => cell.trim());
      const isRule = text => /^ {0,3}([-*_])( *\1){2,} *$/.test(text);
      const startsBlock = text => fenceOf(text) || itemStart.test(text) || isRule(text) || /^ {0,3}(#{1,6} |>)/.test(text);
      while (line < lines.length) {
        const text = lines[line];
        const fence = fenceOf(text);
        const heading = /^ {0,3}(#{1,6}) +(.*)$/.exec(text);
        if (text.trim() === "") {
          line += 1;
        } else if (fence) {
          const end = fenceEnd(lines, line + 1, fence.mark);
          const made = element("pre", {}, element("code", {}, lines.slice(line + 1, end).join("\n")));
          if (fence.language) made.prepend(element("span", {class: "fence"}, fence.language + "\n"));
          blocks.push(made);
          line = end + 1;
        } else if (heading) {
          const words = heading[2].replace(/ +#+ *$/, "");
          blocks.push(element(`h${Math.min(6, heading[1].length + 2)}`, {}, ...inline(words, 0)));
          line += 1;
        } else if (isRule(text)) {
          blocks.push(element("hr", {}));
          line += 1;
        } else if (/^ {0,3}>/.test(text) && depth < deepest) {
          let end = line;
          while (end < lines.length && /^ {0,3}>/.test(lines[end])) end += 1;
          const inner = lines.slice(line, end).map(text => text.replace(/^ {0,3}> ?/, ""));
          blocks.push(element("blockquote", {}, ...markdownBlocks(inner, depth + 1)));
          line = end;
        } else if (itemStart.test(text) && depth < deepest) {
          const isOrdered = item => /\d/.test(item[2]);
          const first = itemStart.exec(text);
          const indent = first[1].length;
          const list = element(isOrdered(first) ? "ol" : "ul", isOrdered(first) ? {start: parseInt(first[2], 10)} : {});
          while (line < lines.length) {
            const item = itemStart.exec(lines[line]);
            if (!item || item[1].length > indent + 1 || isOrdered(item) !== isOrdered(first)) break;
            const inner = [item[4]];
            const width = item[0].length - item[4].length;
            line += 1;
            // What belongs to the item is indented; empty lines do if something indented follows.
            while (line < lines.length) {
              let next = line;
              while (next < lines.length && lines[next].trim() === "") next += 1;
              const inside = next < lines.length && /^\s/.test(lines[next])
                && lines[next].length - lines[next].trimStart().length > indent;
              if (!inside) break;
              for (; line <= next; line += 1) {
                const space = Math.min(width, lines[line].length - lines[line].trimStart().length);
                inner.push(lines[line].slice(space));
              }
            }
            list.append(element("li", {}, ...markdownBlocks(inner, depth + 1)));
            let next = line;
            while (next < lines.length && lines[next].trim() === "") next += 1;
            if (next < lines.length && itemStart.test(lines[next])) line = next;
          }
          blocks.push(list);
        } else if (text.includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(lines[line + 1] ?? "") && lines[line + 1].includes("|")) {
          const head = cells(text);
          const table = element("table", {},
            element("tr", {}, ...head.map(cell => element("th", {}, ...inline(cell, 0)))));
          for (line += 2; line < lines.length && lines[line].includes("|"); line += 1) {
            table.append(element("tr", {}, ...cells(lines[line]).map(cell => element("td", {}, ...inline(cell, 0)))));
          }
          blocks.push(table);
        } else {
          let end = line + 1;
          while (end < lines.length && lines[end].trim() !== "" && !startsBlock(lines[end])) end += 1;
          blocks.push(element("p", {class: "plain"}, ...inline(lines.slice(line, end).map(text => text.trimStart()).join("\n"), 0)));
          line = end;
        }
      }
      return blocks;
    }

    /* Bounds keep a text of nothing but marks from taking long. */
    const spans = new RegExp([
      String.raw`\\([\\\x60*_{}\[\]()#+\-.!~>|])`,
      String.raw`(\x60+)([^]{0,2000}?[^\x60])\2(?!\x60)`,
      String.raw`(\*\*|__)(?=\S)([^]{0,1000}?\S)\4`,
      String.raw`~~(?=\S)([^]{0,1000}?\S)~~`,
      String.raw`\*(?=[^\s*])([^*]{0,1000}?[^\s*])\*(?!\*)`,
      String.raw`(?<!\w)_(?=[^\s_])([^_]{0,1000}?[^\s_])_(?!\w)`,
      String.raw`!?\[([^\]\n]{0,500})\]\(([^()\s]{0,500})[^()\n]{0,200}\)`,
    ].join("|"), "g");

    function inline(text, depth) {
      const parts = [];
      let end = 0;
      const inner = words => depth < deepest ? inline(words, depth + 1) : [words];
      for (const found of text.matchAll(spans)) {
        const [all, escaped, , code, , bold, struck, italic, slanted, label, address] = found;
        if (found.index > end) parts.push(text.slice(end, found.index));
        end = found.index + all.length;
        if (escaped !== undefined) parts.push(escaped);
        else if (code !== undefined) parts.push(element("code", {}, code.replace(/^ (.*) $/, "$1")));
        else if (bold !== undefined) parts.push(element("strong", {}, ...inner(bold)));
        else if (struck !== undefined) parts.push(element("s", {}, ...inner(struck)));
        else if (italic !== undefined) parts.push(element("em", {}, ...inner(italic)));
        else if (slanted !== undefined) parts.push(element("em", {}, ...inner(slanted)));
        else parts.push(...inner(label), element("span", {class: "address"}, ` (${all[0] === "!" ? "image " : ""}${address})`));
      }
      if (end < text.length) parts.push(text.slice(end));
      return parts;
    }

    """#
}
