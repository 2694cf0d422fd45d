import DPOBase
import DPOKernels
import DPOModel
import DPOStorage

/// What files hold.
public enum Inspection {
  /// What a model, adapter, checkpoint or data file holds, after all its checks. Of files of weights what `inspectFile` tells;
  /// and whether and with how much memory it can be trained (`trainable`); of a cache of tokens `kind` "tokens", `sources`, `row_kind`,
  /// `rows` and `tokens`; of a file of rows an object with `kind` "data", `format` ("jsonl", "json", "csv" or "tsv"), `rows` (their number), `row_kind` ("pairs",
  /// "unpaired", "completions", "text" or "messages"), `conversational` and `columns`.
  public static func of(_ path: String) throws -> JSON {
    guard try RowFile.isLikely(path) else {
      do { return try weights(path) } catch let error as DPOError where error.code == .format {
        guard let cache = DatasetCache.inspection(path) else { throw error }
        return cache
      }
    }
    let file = try RowFile(path)
    var format: RowFormat?
    var rows = 0
    var columns: [String] = []
    try file.forEachRow { row, rowPlace in
      let place = rowPlace.description
      let rowFormat = try format ?? RowFormat(first: row, purpose: .any, place: place)
      format = rowFormat
      _ = try rowFormat.read(row, place: place)
      rows += 1
      columns += row.keys.filter { !columns.contains($0) }.prefix(max(0, 64 - columns.count))
    }
    guard let format else { throw DPOError.format(file.name, "no rows; expected at least one JSON object") }
    return [
      "kind": "data", "format": .string(file.form), "rows": .int(rows), "row_kind": .string(format.kind.rawValue),
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
        model, adapter, batch, optimizer: OptimizerChoice(TrainingOptions.Optimization()),
        threads: ThreadTeam.availableProcessors, separateReference: adapter == nil)
      trainable[name] = .int(plan.total)
    }
    out["trainable"] = .object(trainable)
    return .object(out)
  }
}
