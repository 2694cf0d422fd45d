import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

/// What files hold.
public enum Inspection {
  /// What a model, adapter, checkpoint or data file holds, after all its checks. Of files of weights what `inspectFile` tells;
  /// and whether and with how much memory it can be trained (`trainable`); of rows as JSON lines an object with `kind` "data", `format` "jsonl", `rows` (their number), `row_kind` ("pairs",
  /// "unpaired", "completions", "text" or "messages"), `conversational` and `columns`.
  public static func of(_ path: String) throws -> JSON {
    guard fileKind(path) == .file, try beginsLikeRows(path) else { return try weights(path) }
    let lines = try JSONLines(path)
    var format: RowFormat?
    var rows = 0
    var columns: [String] = []
    try lines.forEachRow { row, line in
      let place = "\(lines.name): line \(line)"
      let rowFormat = try format ?? RowFormat(first: row, purpose: .any, place: place)
      format = rowFormat
      _ = try rowFormat.read(row, place: place)
      rows += 1
      columns += row.keys.filter { !columns.contains($0) }.prefix(max(0, 64 - columns.count))
    }
    guard let format else { throw DPOError.format(lines.name, "no rows; expected at least one JSON object") }
    return [
      "kind": "data", "format": "jsonl", "rows": .int(rows), "row_kind": .string(format.kind.rawValue),
      "conversational": .bool(!format.isText), "columns": .array(columns.map(JSON.string)),
    ]
  }
}

extension Inspection {
  /// A step that the memory is told of: pairs of a prompt and two answers.
  private static let (pairs, prompt, answer) = (2, 256, 128)

  private static func weights(_ path: String) throws -> JSON {
    let (found, model) = try inspectFile(path)
    guard let model, var out = found.object else { return found }
    var trainable: JSONObject = [
      "step": .string("\(pairs) pairs: prompts of \(prompt) tokens, answers of \(answer)"),
      "available_bytes": .int(Machine.availableMemory),
    ]
    var lora = LoRAConfiguration()
    lora.rank = 16
    lora.targetModules = .allLinear
    let batch = TrainingPlan.BatchShape(
      tokens: pairs * (prompt + 2 * answer), targets: pairs * 2 * answer, longest: prompt + answer)
    for (name, adapter) in [("lora_bytes", lora), ("full_bytes", nil)] {
      let plan = try TrainingPlan.step(
        model, adapter, batch, threads: ThreadTeam.availableProcessors, separateReference: adapter == nil)
      trainable[name] = .int(plan.total)
    }
    out["trainable"] = .object(trainable)
    return .object(out)
  }
}

/// Whether the first character of a file opens a JSON object. Models begin otherwise.
private func beginsLikeRows(_ path: String) throws -> Bool {
  let file = try MappedFile(path)
  return withExtendedLifetime(file) {
    let start = file.bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    return file.bytes.dropFirst(start).prefix(4096).first { $0 > UInt8(ascii: " ") } == UInt8(ascii: "{")
  }
}
