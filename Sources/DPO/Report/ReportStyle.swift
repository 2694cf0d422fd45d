/// The page's style sheet: no external file, light and dark, one column on a phone.
enum ReportStyle {
  static let css = """
    :root { color-scheme: light dark; --back: #ffffff; --card: #f6f8fa; --text: #1b1f24; --muted: #57606a; --grid: #e3e6ea;
      --edge: #d0d7de; --blue: #0969b3; --green: #0b7f5c; --orange: #c2500a; --purple: #9a3f86;
      --good: #0b7f5c; --note: #0969b3; --warning: #9a6200; --problem: #c0262d; }
    @media (prefers-color-scheme: dark) { :root { --back: #0f1317; --card: #181e25; --text: #e6eaee; --muted: #9aa5b1;
      --grid: #2a323b; --edge: #36404a; --blue: #5cb2f2; --green: #3fc79a; --orange: #f5975a; --purple: #dd8fca;
      --good: #3fc79a; --note: #5cb2f2; --warning: #e0b04a; --problem: #ff7b80; } }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--back); color: var(--text); line-height: 1.5;
      font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; font-size: 16px; }
    main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
    h1 { font-size: 1.7rem; margin: 0 0 .3rem; line-height: 1.25; }
    h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; }
    h3 { font-size: 1rem; margin: 0; }
    p { margin: .4rem 0; max-width: 75ch; }
    .sub { color: var(--muted); overflow-wrap: anywhere; }
    .verdict { border-left: 4px solid var(--note); padding: .3rem .8rem; font-weight: 600; }
    .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .7rem; margin: 1.2rem 0 0; padding: 0; }
    .tile { background: var(--card); border: 1px solid var(--edge); border-radius: .5rem; padding: .55rem .8rem; }
    .tile dt { color: var(--muted); font-size: .8rem; }
    .tile dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
    .tile .start { font-size: .78rem; font-weight: 400; color: var(--muted); }
    .tile small { white-space: nowrap; font-size: .78rem; font-weight: 400; color: var(--muted); }
    .findings { columns: 2 31rem; column-gap: .9rem; }
    .found { break-inside: avoid; border: 1px solid var(--edge); border-left: 5px solid var(--tone); border-radius: .5rem; background: var(--card);
      padding: .8rem 1rem; margin: 0 0 .8rem; }
    .found.good { --tone: var(--good); } .found.note { --tone: var(--note); }
    .found.warning { --tone: var(--warning); } .found.problem { --tone: var(--problem); }
    .tag { display: inline-block; color: var(--tone); font-size: .75rem; font-weight: 700; letter-spacing: .04em;
      text-transform: uppercase; margin-right: .5rem; }
    .found ul { margin: .4rem 0; padding-left: 1.2rem; color: var(--muted); font-size: .92rem; max-width: 90ch; }
    .try { margin: .5rem 0 0; padding: 0; list-style: none; font-size: .92rem; }
    .found .try { padding-left: 0; color: inherit; }
    .try li { margin: .25rem 0; }
    code { font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; font-size: .86em; background: var(--back);
      border: 1px solid var(--edge); border-radius: .25rem; padding: .08em .35em; overflow-wrap: anywhere; }
    .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1rem; }
    figure { position: relative; margin: 0; border: 1px solid var(--edge); border-radius: .5rem; padding: .5rem; min-width: 0; }
    figure svg { display: block; width: 100%; height: auto; touch-action: pan-y; user-select: none; border-radius: .35rem; }
    figure svg:focus { outline: none; } figure svg:focus-visible { outline: 2px solid var(--blue); }
    .tip { position: absolute; z-index: 1; pointer-events: none; padding: .2rem .55rem; font-size: .82rem; line-height: 1.4;
      background: var(--card); border: 1px solid var(--edge); border-radius: .35rem; font-variant-numeric: tabular-nums; }
    .tip[hidden] { display: none; }
    .tip i { display: inline-block; width: .7rem; height: .25rem; margin-right: .4rem; vertical-align: middle; }
    .sample { border: 1px solid var(--edge); border-radius: .5rem; margin: 0 0 .9rem; overflow: hidden; }
    .sample .prompt { background: var(--card); padding: .55rem .8rem; border-bottom: 1px solid var(--edge); }
    .answers { display: grid; grid-template-columns: 1fr 1fr; }
    .answers > div { padding: .55rem .8rem; min-width: 0; }
    .answers > div + div { border-left: 1px solid var(--edge); }
    .label { color: var(--muted); font-size: .78rem; display: block; }
    .words { white-space: pre-wrap; overflow-wrap: anywhere; }
    .scroll { overflow-x: auto; }
    table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
    .wide { width: 100%; max-width: 46rem; }
    th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--grid); vertical-align: top; }
    th { color: var(--muted); font-weight: 600; }
    td.n, th.n { text-align: right; white-space: nowrap; }
    td.value { overflow-wrap: anywhere; }
    .group th { padding-top: .9rem; color: var(--text); }
    .columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0 2.5rem; }
    details { margin: 1rem 0; } summary { cursor: pointer; color: var(--muted); }
    footer { margin-top: 3rem; color: var(--muted); font-size: .85rem; }
    @media (max-width: 40rem) { main { padding: 1rem .8rem 3rem; } h1 { font-size: 1.4rem; }
      .wide { font-size: .8rem; } .wide td, .wide th { padding-right: .5rem; } 
      .answers { grid-template-columns: 1fr; }
      .answers > div + div { border-left: 0; border-top: 1px solid var(--edge); } }
    @media print { .found, figure, .sample { break-inside: avoid; } }
    """
}
