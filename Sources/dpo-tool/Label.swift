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
      """)

  @Option(help: "Rows to label, as JSON lines.")
  var data: String?

  @Option(name: .shortAndLong, help: "File that the labelled rows go to.")
  var output: String?

  @Option(help: "Judge by a text classifier of `dpo classifier train`.")
  var classifier: String?

  @Option(help: "Judge by a program; see above.")
  var command: String?

  @Option(help: ArgumentHelp("Most seconds that a program may take for a row.", valueName: "S"))
  var timeout = 60.0

  @Flag(help: "The classifier sees completions without their prompts.")
  var completionOnly = false

  @Option(help: "What the rows become: \(LabelForm.allCases.map(\.rawValue).joined(separator: ", ")).")
  var form: LabelForm = .bestWorst

  @Option(help: ArgumentHelp("Scores that are not further apart are a tie and make no row.", valueName: "G"))
  var gap = 0.0

  @Flag(help: "Forget earlier judgements and start again.")
  var overwrite = false

  @Flag(help: "One JSON document on stdout.")
  var json = false

  func validate() throws {
    guard [classifier, command].count(where: { $0 != nil }) == 1 else {
      throw ValidationError("give one judge: --classifier or --command")
    }
    guard data != nil, output != nil else { throw ValidationError("--data and --output are needed") }
  }

  func run() throws {
    let output = output ?? ""
    let rows = try readMarkupRows(data ?? "")
    let judge = try judge()
    var options = LabelOptions()
    options.form = form
    options.gap = gap
    options.overwrite = overwrite
    Interrupt.install()
    var progress: Progress?
    let result = try label(rows, judge: judge, options: options, to: output) { done in
      var line = progress ?? Progress("row", from: done - 1)
      line.show(done: done, total: rows.count, detail: "")
      progress = line
      return !Interrupt.requested
    }
    try report(result, output: output)
  }

  private func judge() throws -> Judge {
    if let classifier { return .classifier(try TextClassifier.load(classifier), completionOnly: completionOnly) }
    return try .command(command ?? "", timeout: timeout) { Interrupt.requested }
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
        .format, "\(output) has no rows: the judge told no answers apart (\(result.ties) ties at a gap of \(gap))")
    }
  }
}

extension LabelForm: ExpressibleByArgument {}
