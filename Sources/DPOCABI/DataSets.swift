import CDPO
import DPO
import DPOBase

// Section "data sets" of dpo.h.

extension HandleKind where Object == TokenizedDataset {
  static var dataset: HandleKind { HandleKind(code: 2, name: "dataset") }
}

@_cdecl("dpo_dataset_open_jsonl") @implementation
public func dpo_dataset_open_jsonl(
  _ model: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ options: UnsafePointer<dpo_train_options>?,
  _ dataset: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus(model) {
    let dataset = try required(dataset, "dataset")
    let path = try text(path, "path")
    let options = try trainingOptions(options).dataset()
    dataset.pointee = try HandleKind.dataset.make(
      HandleKind.model.use(model) { try $0.file.dataset(.file(path), options: options) })
  }
}

@_cdecl("dpo_dataset_open") @implementation
public func dpo_dataset_open(
  _ model: OpaquePointer?, _ paths: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int,
  _ options: UnsafePointer<dpo_train_options>?, _ callback: dpo_reading_callback?,
  _ user_data: UnsafeMutableRawPointer?, _ dataset: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus(model) {
    let dataset = try required(dataset, "dataset")
    let paths = try texts(paths, count, "paths")
    let options = try trainingOptions(options).dataset()
    let progress: DatasetProgress = { reading in
      guard let callback else { return }
      let stops = reading.phase.withCString { phase in
        onCallersThread {
          callback(phase, UInt64(reading.done), UInt64(reading.total), UInt64(reading.rows), user_data)
        }
      }
      guard stops == 0 else { throw DPOError(.cancelled, "the reading callback asked to stop") }
    }
    dataset.pointee = try HandleKind.dataset.make(
      HandleKind.model.use(model) { try $0.file.dataset(.files(paths), options: options, progress: progress) })
  }
}

@_cdecl("dpo_dataset_from_jsonl") @implementation
public func dpo_dataset_from_jsonl(
  _ model: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ size: Int, _ options: UnsafePointer<dpo_train_options>?,
  _ dataset: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus(model) {
    let dataset = try required(dataset, "dataset")
    let bytes = UnsafeRawBufferPointer(try array(text, size, "text"))
    let options = try trainingOptions(options).dataset()
    dataset.pointee = try HandleKind.dataset.make(
      HandleKind.model.use(model) { try $0.file.dataset(.lines(bytes, name: "rows"), options: options) })
  }
}

@_cdecl("dpo_dataset_from_pairs") @implementation
public func dpo_dataset_from_pairs(
  _ model: OpaquePointer?, _ prompts: UnsafePointer<UnsafePointer<CChar>?>?,
  _ chosen: UnsafePointer<UnsafePointer<CChar>?>?, _ rejected: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int,
  _ options: UnsafePointer<dpo_train_options>?, _ dataset: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus(model) {
    let dataset = try required(dataset, "dataset")
    let prompts = try texts(prompts, count, "prompts")
    let chosen = try texts(chosen, count, "chosen")
    let rejected = try texts(rejected, count, "rejected")
    let options = try trainingOptions(options).dataset()
    let pairs = (0..<count).map { (prompts[$0], chosen[$0], rejected[$0]) }
    dataset.pointee = try HandleKind.dataset.make(
      HandleKind.model.use(model) { try $0.file.dataset(.pairs(pairs), options: options) })
  }
}

@_cdecl("dpo_dataset_from_tokens") @implementation
public func dpo_dataset_from_tokens(
  _ prompt_ids: UnsafePointer<Int32>?, _ prompt_lengths: UnsafePointer<Int>?, _ chosen_ids: UnsafePointer<Int32>?,
  _ chosen_lengths: UnsafePointer<Int>?, _ rejected_ids: UnsafePointer<Int32>?, _ rejected_lengths: UnsafePointer<Int>?,
  _ count: Int, _ options: UnsafePointer<dpo_train_options>?, _ dataset: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    let dataset = try required(dataset, "dataset")
    let prompts = try lists(prompt_ids, prompt_lengths, count, "prompt_ids", "prompt_lengths")
    let chosen = try lists(chosen_ids, chosen_lengths, count, "chosen_ids", "chosen_lengths")
    let rejected = try lists(rejected_ids, rejected_lengths, count, "rejected_ids", "rejected_lengths")
    let rows = (0..<count).map { TokenizedRow(prompt: prompts[$0], completion: chosen[$0], rejected: rejected[$0]) }
    dataset.pointee = try HandleKind.dataset.make(
      TokenizedDataset(.tokens(rows), options: trainingOptions(options).dataset()))
  }
}

@_cdecl("dpo_dataset_get_info") @implementation
public func dpo_dataset_get_info(_ dataset: OpaquePointer?, _ info: UnsafeMutablePointer<dpo_dataset_info>?) -> Int32 {
  withStatus(dataset) {
    try HandleKind.dataset.use(dataset) { dataset in
      let report = dataset.report
      var values = dpo_dataset_info()
      values.rows = UInt64(dataset.count)
      values.dropped_rows = UInt64(report.droppedRows)
      values.truncated_rows = UInt64(report.truncatedRows)
      values.identical_rows = UInt64(report.identicalRows)
      values.duplicate_rows = UInt64(report.duplicateRows)
      values.contradicting_rows = UInt64(report.contradictingRows)
      values.tokens = UInt64(report.tokens)
      values.longest_row = UInt64(report.longestRow)
      values.longer_is_chosen = report.longerChosen
      try dpo_dataset_info.write(values, to: info)
    }
  }
}

@_cdecl("dpo_dataset_release") @implementation public func dpo_dataset_release(_ dataset: OpaquePointer?) {
  HandleKind.dataset.release(dataset)
}
