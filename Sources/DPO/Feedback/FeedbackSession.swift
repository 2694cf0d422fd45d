import DPOBase
import DPOStorage

/// One round of training on feedback: which records, and a run for each kind of them. Choices come first, with DPO; then
/// thumbs, with KTO, on the adapter that the choices left.
struct FeedbackSession {
  /// A run of the session.
  struct Stage {
    let name: String
    let rows: Int
    /// Empty in the log of finished sessions.
    let options: JSON
  }

  let number: Int
  /// The last record in the file when the session was made: all up to it are seen.
  let trainedTo: Int
  let trainedToFingerprint: String
  let model: String
  let new: Int
  let replayed: Int
  let skipped: Int
  /// What chat templates are told of the time, in all sessions of a directory: when the first one was made. nil in files of
  /// versions that did not keep it.
  let templateTime: Int?
  let stages: [Stage]
  /// What the finished session did: steps, seconds, metrics.
  var outcome: JSONObject = [:]

  var json: JSON {
    var object: JSONObject = [
      "session": .int(number), "trained_to": .int(trainedTo), "record": .string(trainedToFingerprint),
      "model": .string(model), "new": .int(new), "replayed": .int(replayed), "skipped": .int(skipped),
      "stages": .array(
        stages.map { stage in
          var object: JSONObject = ["name": .string(stage.name), "rows": .int(stage.rows)]
          if !stage.options.isNull { object["options"] = stage.options }
          return .object(object)
        }),
    ]
    if let templateTime { object["template_time"] = .int(templateTime) }
    return .object(object.with(outcome))
  }

  /// The line of the log.
  func finished(_ outcome: JSONObject) -> JSON {
    FeedbackSession(
      number: number, trainedTo: trainedTo, trainedToFingerprint: trainedToFingerprint, model: model, new: new,
      replayed: replayed, skipped: skipped, templateTime: templateTime,
      stages: stages.map { Stage(name: $0.name, rows: $0.rows, options: .null) }, outcome: outcome
    ).json
  }
}

extension FeedbackSession {
  /// Reads session.json, or a line of the log.
  init(_ json: JSON, file: String) throws {
    func field<T>(_ object: JSON, _ name: String, _ read: (JSON) -> T?) throws -> T {
      guard let value = object[name].flatMap(read) else {
        throw DPOError.format(
          file, "\"\(name)\" is \(object[name]?.kind ?? "missing"), which no session of feedback has")
      }
      return value
    }
    let whole: (JSON) -> Int? = { json in json.int.flatMap { (0..<1 << 53).contains($0) ? $0 : nil } }
    number = try field(json, "session", whole)
    trainedTo = try field(json, "trained_to", whole)
    trainedToFingerprint = try field(json, "record", \.string)
    model = try field(json, "model", \.string)
    new = try field(json, "new", whole)
    replayed = try field(json, "replayed", whole)
    skipped = try field(json, "skipped", whole)
    templateTime = try json["template_time"].map { _ in try field(json, "template_time", \.int) }
    stages = try field(json, "stages", \.array).map {
      let name = try field($0, "name", \.string)
      guard FeedbackStage.all.contains(where: { $0.name == name }) else {
        throw DPOError.format(file, "there is no stage \"\(DPOError.printable(name))\"")
      }
      return Stage(name: name, rows: try field($0, "rows", whole), options: $0["options"] ?? .null)
    }
    for (key, value) in json.object?.members ?? [] where ["steps", "seconds", "time", "metrics"].contains(key) {
      outcome[key] = value
    }
  }
}

/// A kind of records and the method that learns from them.
struct FeedbackStage {
  let name: String
  let method: String
  let takes: @Sendable (FeedbackRecord) -> Bool

  /// Text and chat messages do not go together in one data set.
  static let all = [true, false].flatMap { isText in
    let form = isText ? "" : "-chat"
    return [
      FeedbackStage(name: "choices" + form, method: "dpo") { $0.method == "dpo" && $0.isText == isText },
      FeedbackStage(name: "thumbs" + form, method: "kto") { $0.method == "kto" && $0.isText == isText },
    ]
  }.sorted { ($0.method, $0.name) < ($1.method, $1.name) }
}

/// What a session will be made of.
struct FeedbackSelection {
  /// The last record on each subject that no session has seen.
  var new: [FeedbackRecord] = []
  /// The same of those that one has.
  var old: [FeedbackRecord] = []
  /// The last record of the file.
  var last: FeedbackRecord?

  /// - Throws: `.mismatch` if the history is of other records.
  init(_ records: [FeedbackRecord], _ history: FeedbackHistory, file: String, directory: String) throws {
    let seen = records.first { $0.id == history.trainedTo }
    let isOther = seen.map { hexadecimal($0.fingerprint) != history.trainedToFingerprint }
    if isOther ?? (records.last?.id ?? 0 < history.trainedTo) {
      throw DPOError.mismatch(
        "\(file): record \(history.trainedTo) is not the one that \(directory) was trained on; give the directory's own "
          + "file, or set retrain to train anew")
    }
    for record in records.current() {
      if record.id > history.trainedTo { new.append(record) } else { old.append(record) }
    }
    last = records.last
  }
}

extension FeedbackSession {
  /// Chooses the rows of a session and writes what it needs into a new directory: session.json, a file of rows for each
  /// stage, the adapter that it starts from.
  ///
  /// - Parameter note: is told of records that cannot be trained on.
  static func make(
    _ number: Int, _ selection: FeedbackSelection, model: ModelFile, fingerprint: String, in place: FeedbackDirectory,
    options: FeedbackOptions, templateTime: Int?, note: (String) throws -> Void
  ) throws -> FeedbackSession? {
    guard let last = selection.last else { return nil }
    var training = options.training
    let context = model.configuration.contextLength
    training.rows.maxLength = min(training.rows.maxLength ?? context, context)
    let reader = try FeedbackReader(model, training)
    var skipped = 0
    var records = try selection.new.filter { record in
      guard let reason = try reader.problem(record) else { return true }
      try note("record \(record.id) is left out: \(reason)")
      skipped += 1
      return false
    }
    let new = records.count
    let wanted = Int((options.replay * Double(new)).rounded(.up))
    let order = MersenneTwister.permutation(
      selection.old.count, seed: UInt32(truncatingIfNeeded: options.training.batches.seed &+ number))
    for index in order where records.count < new + wanted {
      if try reader.problem(selection.old[index]) == nil { records.append(selection.old[index]) }
    }
    let startsAnew = options.retrain || fileKind(place.adapter) == .none
    var stages: [Stage] = []
    for stage in FeedbackStage.all {
      let rows = records.filter(stage.takes)
      guard !rows.isEmpty else { continue }
      let run = try FeedbackSession.options(training, stage, rows, isFirst: startsAnew && stages.isEmpty)
      stages.append(Stage(name: stage.name, rows: rows.count, options: run.json))
    }
    let session = FeedbackSession(
      number: number, trainedTo: last.id, trainedToFingerprint: hexadecimal(last.fingerprint), model: fingerprint,
      new: new, replayed: records.count - new, skipped: skipped, templateTime: templateTime ?? Machine.localTime,
      stages: stages)
    try place.removeSession()
    try writeDirectory(place.session, overwrite: false, last: "session.json") { directory in
      for stage in FeedbackStage.all {
        let rows = ordered(records.filter(stage.takes), seed: options.training.batches.seed &+ number)
        guard !rows.isEmpty else { continue }
        try writeFile(
          "\(directory)/\(stage.name).jsonl",
          rows.map { JSON.object($0.trainingRow).description + "\n" }.joined())
      }
      if !startsAnew { try copyFile(place.adapter, to: "\(directory)/\(nameOf(place.start))") }
      try writeFile("\(directory)/session.json", session.json.pretty)
    }
    return session
  }

  /// Rows in the order in which they are trained on: as good as random, thumbs up and down as evenly mixed as their numbers
  /// allow, since KTO compares the rows of a micro-batch.
  private static func ordered(_ records: [FeedbackRecord], seed: Int) -> [FeedbackRecord] {
    let order = MersenneTwister.permutation(records.count, seed: UInt32(truncatingIfNeeded: seed))
    let shuffled = order.map { records[$0] }
    let placed = FeedbackRecord.Kind.allCases.flatMap { kind in
      let rows = shuffled.filter { $0.kind == kind }
      return rows.enumerated().map { (($0.offset * 2 + 1, rows.count), $0.element) }
    }
    // (2i + 1) / n is the middle of the i-th of n equal parts.
    return placed.sorted { $0.0.0 * $1.0.1 < $1.0.0 * $0.0.1 }.map { $0.1 }
  }

  /// The options of a stage's run.
  private static func options(
    _ base: TrainingOptions, _ stage: FeedbackStage, _ rows: [FeedbackRecord], isFirst: Bool
  ) throws -> TrainingOptions {
    var options = try base.feedback(method: stage.method)
    options.files.saveSteps = 0
    options.files.autosaveSteps = 1
    if !isFirst {
      // Training goes on from an adapter, which has its own.
      options.lora = .init(disableDropout: options.lora.disableDropout)
    }
    if stage.method == "kto" {
      let size = options.batches.perDeviceTrainBatchSize
      options.batches.perDeviceTrainBatchSize = (2...size).reversed().first { rows.count % $0 != 1 } ?? size
      // λ_D·n_D = λ_U·n_U (the paper's section 4.2): the more numerous side counts less.
      let (up, down) = (rows.count { $0.kind == .thumbUp }, rows.count { $0.kind == .thumbDown })
      if up > 0, down > 0, base.method.desirableWeight == 1, base.method.undesirableWeight == 1 {
        options.method.desirableWeight = min(1, Double(down) / Double(up))
        options.method.undesirableWeight = min(1, Double(up) / Double(down))
      }
    }
    return options
  }
}

/// Finds the records that cannot be trained on, so that they do not stand in the others' way.
private struct FeedbackReader {
  private let model: ModelFile
  private var options: [String: DatasetOptions] = [:]

  init(_ model: ModelFile, _ training: TrainingOptions) throws {
    guard try model.tokenizer != nil else { throw DPOError.noTokenizer(model) }
    self.model = model
    for method in ["dpo", "kto"] { options[method] = try training.feedback(method: method).dataset() }
  }

  /// Why a record cannot be trained on; nil if it can.
  func problem(_ record: FeedbackRecord) throws -> String? {
    guard let options = options[record.method] else { return "no method learns from it" }
    do {
      _ = try model.dataset(.rows([record.trainingRow]), options: options)
      return nil
    } catch let error as DPOError where error.code == .format || error.code == .unsupported {
      return error.message
    }
  }
}

extension TrainingOptions {
  /// These options for one of a session's methods: what only the other one reads is left at its default. KTO compares the
  /// rows of a micro-batch.
  fileprivate func feedback(method name: String) throws -> TrainingOptions {
    var options = self
    options.method.name = name
    for field in TrainingOptions.fields where !field.belongs(to: name) {
      try options.set(field.name, to: field.defaultValue)
    }
    let isOfKTO = method.lossType.allSatisfy(KTOLossOptions.names.contains)
    if isOfKTO != (name == "kto") { options.method.lossType = TrainingOptions.Method.standard.lossType }
    if name == "kto" { options.batches.perDeviceTrainBatchSize = max(2, batches.perDeviceTrainBatchSize) }
    return options
  }
}
