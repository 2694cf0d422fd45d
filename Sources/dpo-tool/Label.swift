import ArgumentParser
import DPO

struct Label: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Label samples by a classifier, a reward model, a program or people; writes what `dpo train` takes.",
    discussion: """
      Reads rows {"prompt", "completions": […]}, as `dpo sample` writes them. What the judge says is kept in OUTPUT.log as it \
      comes: the same command goes on where an earlier one stopped, and judges again what a judge failed on.

      A program (--command) reads a line of JSON a row, {"prompt", "completions"}, and answers each with one line: \
      {"scores": […]}, or {"choice": 0} with the index of the better answer, null for a tie.

      People (--serve) get a web page that only this machine can open, at the address that is printed. Every click is kept at \
      once; Ctrl-C ends. Of rows with more than two answers, every two are compared, or with --mode ranking all are put in order. \
      Several annotators can label to the same output, one after the other: a row is written where their votes are not equal.
      """)

  @Option(help: "Rows to label.", completion: .file())
  var data: String?

  @Option(name: .shortAndLong, help: "File that the labelled rows go to.", completion: .file())
  var output: String?

  @OptionGroup var judges: JudgeFlags

  @Option(help: "Adapter on the reward model: PEFT directory, HDF5 file or GGUF LoRA.", completion: .file())
  var adapter: String?

  @Option(help: ArgumentHelp("The reward model's compute threads; 0: one a core.", valueName: "N"))
  var threads = 0

  @Option(help: "What the rows become. (default: best-worst; for people the mode's: all-pairs, ranks or thumbs)")
  var form: LabelForm?

  @Option(
    help: ArgumentHelp("Scores that are not further apart are a tie and make no row. (default: 0)", valueName: "G"))
  var gap: Double?

  @Flag(help: "Let people judge, on a web page of this machine.")
  var serve = false

  @Option(help: ArgumentHelp("Port of the page; 0: any that is free. (default: 0)", valueName: "P"))
  var port: UInt16?

  @Option(help: ArgumentHelp("Who judges on the page. (default: me)", valueName: "NAME"))
  var annotator: String?

  @Option(
    help:
      """
      What people are asked: pairs (which of two is better), ranking (the order of a row's answers), thumbs (is it good). \
      (default: pairs)
      """
  )
  var mode: LabelSession.Mode?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp(
      "Compare annotators: labelled files, or logs of --serve; prints raw agreement and Cohen's κ.", valueName: "FILE"))
  var agreement: [String] = []

  @Flag(help: "Forget earlier judgements and start again.")
  var overwrite = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard agreement.isEmpty else { return }
    guard judges.count + (serve ? 1 : 0) == 1 else {
      throw ValidationError("give one judge: --classifier, --reward-model, --command or --serve")
    }
    let onPage = [("port", port != nil), ("annotator", annotator != nil), ("mode", mode != nil)]
    if !serve, let option = onPage.first(where: { $0.1 }) {
      throw ValidationError("--\(option.0) goes with --serve alone: no page is shown")
    }
    let mode = mode ?? .pairs
    guard !serve || gap == nil else { throw ValidationError("--gap does not go with --serve: people give no scores") }
    if serve, let form, !mode.forms.contains(form) {
      let possible = mode.forms.map(\.rawValue).joined(separator: ", ")
      throw ValidationError(
        "--form \(form.rawValue) does not go with --serve --mode \(mode.rawValue), which has \(possible)")
    }
    guard !serve || !overwrite else { throw ValidationError("--overwrite does not go with --serve") }
    guard data != nil, output != nil else { throw ValidationError("--data and --output are needed") }
  }

  func run() throws {
    guard agreement.isEmpty else { return try showAgreement() }
    let output = output ?? ""
    let rows = try LabelRow.read(data ?? "")
    guard !serve else { return try ask(rows, output: output) }
    guard let judge = try judges.judge(adapter: adapter, threads: threads) else { return }
    var options = LabelOptions()
    options.form = form ?? .bestWorst
    options.gap = gap ?? 0
    options.overwrite = overwrite
    Interrupt.install()
    var progress: Progress?
    let result = try LabelRow.label(rows, judge: judge, options: options, to: output) { done in
      var line = progress ?? Progress("row", from: done - 1)
      line.show(done: done, total: rows.count, detail: "")
      progress = line
      return !Interrupt.requested
    }
    try report(result, output: output)
  }

  /// Tells what came of it; a judge that failed or told nothing apart is an error.
  private func report(_ result: LabelResult, output: String) throws {
    if json {
      printJSON([
        "output": .string(output), "rows": .int(result.rows), "judged": .int(result.judged), "ties": .int(result.ties),
        "written": .int(result.written), "kept": .int(result.kept), "failure": result.failure.map(JSON.string) ?? .null,
      ])
    } else {
      print(
        "done: \(result.judged) of \(result.rows) rows judged, \(result.written) rows in \(output), \(result.ties) ties"
      )
    }
    if let failure = result.failure {
      throw DPOError(
        .io, "\(result.kept) of \(result.rows) rows are kept for later, the same command judges them: \(failure)")
    }
    guard result.written > 0 else {
      throw DPOError(
        .format, "\(output) has no rows: the judge told no answers apart (\(result.ties) ties at a gap of \(gap ?? 0))")
    }
  }
}

extension LabelForm: ExpressibleByArgument {}
extension LabelSession.Mode: ExpressibleByArgument {}

extension Label {
  /// Serves the page until Ctrl-C, then tells what there is.
  private func ask(_ rows: [LabelRow], output: String) throws {
    let mode = mode ?? .pairs
    let session = try LabelSession(rows: rows, mode: mode, form: form, annotator: annotator ?? "me", output: output)
    let server = try LabelServer(session: session, port: port ?? 0)
    Interrupt.install()
    if mode == .pairs, rows.contains(where: { $0.completions.count > 2 }) {
      Terminal.tell("Every two answers of a row are compared; --mode ranking asks once a row.")
    }
    Terminal.tell("\(session.done) of \(session.total) judged. Open this address in a browser; Ctrl-C ends:")
    Terminal.tell(server.address)
    try server.run()
    if json {
      var counts = JSONObject()
      for (verdict, count) in session.counts() { counts[verdict.rawValue] = .int(count) }
      printJSON([
        "output": .string(output), "done": .int(session.done), "total": .int(session.total),
        "counts": .object(counts), "agreements": .array(session.agreements().map(describe)),
      ])
    } else {
      print("\(session.done) of \(session.total) judged; labelled rows in \(output)")
      for (name, agreement) in session.agreements() { print("agreement with \(name): \(agreement.line)") }
    }
  }

  /// Every two annotators of the files who judged the same questions.
  private func showAgreement() throws {
    let found = try agreement.flatMap(AnnotatorJudgements.read)
    var table: [JSON] = []
    for (index, first) in found.enumerated() {
      for second in found.dropFirst(index + 1) {
        let agreement = Agreement(first.judgements, second.judgements)
        guard agreement.count > 0 else { continue }
        var row = describe((second.name, agreement)).object ?? [:]
        row["with"] = .string(first.name)
        table.append(.object(row))
        if !json { print("\(first.name) and \(second.name): \(agreement.line)") }
      }
    }
    guard !table.isEmpty else {
      throw DPOError.mismatch("no two annotators in \(agreement.joined(separator: ", ")) judged the same questions")
    }
    if json { printJSON(["agreements": .array(table)]) }
  }
}

extension Agreement {
  var line: String {
    let kappa = kappa.map { ", Cohen's κ \(Terminal.short($0))" } ?? ""
    return "\(Terminal.short(100 * observed)) % of \(count) equal\(kappa)"
  }
}
