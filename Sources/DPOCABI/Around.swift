import CDPO
import DPO
import DPOBase
import DPOPlatform
import DPOTensor

// Section 5 of dpo.h: generation and export.

@_cdecl("dpo_generation_options_init") @implementation
public func dpo_generation_options_init(
  _ options: UnsafeMutablePointer<dpo_generation_options>?, _ struct_size: Int
) -> Int32 {
  withStatus { try dpo_generation_options.write(.defaults, to: options, size: struct_size) }
}

/// Texts and ids of completions, in memory of C that lives as long as the handle.
final class CompletionTable {
  struct Entry {
    let text: UnsafeMutablePointer<CChar>
    let ids: UnsafeMutableBufferPointer<Int32>
    let stopped: Bool
  }

  private(set) var rows: [[Entry]] = []

  init(_ completions: [[Completion]], _ model: LanguageModel) throws {
    for row in completions {
      rows.append([])
      for completion in row {
        let text = try copiedText(model.text(completion)).text
        let ids = UnsafeMutableBufferPointer<Int32>.allocate(capacity: completion.tokens.count)
        _ = ids.initialize(from: completion.tokens)
        rows[rows.count - 1].append(Entry(text: text, ids: ids, stopped: completion.finish == .stop))
      }
    }
  }

  deinit {
    for entry in rows.joined() {
      free(entry.text)
      entry.ids.deallocate()
    }
  }
}

extension HandleKind where Object == CompletionTable {
  static var completions: HandleKind { HandleKind(code: 4, name: "completions") }
}

@_cdecl("dpo_model_generate") @implementation
public func dpo_model_generate(
  _ model: OpaquePointer?, _ prompts: UnsafePointer<UnsafePointer<CChar>?>?, _ count: Int,
  _ options: UnsafePointer<dpo_generation_options>?, _ callback: dpo_token_callback?,
  _ user_data: UnsafeMutableRawPointer?, _ completions: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus(model) {
    let output = try required(completions, "completions")
    let prompts = try texts(prompts, count, "prompts")
    let options = try dpo_generation_options.read(options, defaults: .defaults)
    // An answer: its tokens, their text, and what is kept of it while it is drawn.
    let answers = max(0, Int(options.num_return_sequences)).multipliedReportingOverflow(by: count).partialValue
    try Machine.requireRoom(
      for: min(max(0, answers), 1 << 32) * (1024 + 32 * min(max(0, Int(options.max_new_tokens)), 1 << 20)))
    try useCancellably(model) { model in
      let tokenizer = try model.tokenizer
      let ids = try prompts.map {
        options.add_special_tokens != 0
          ? try tokenizer.encode(prompt: $0) : try tokenizer.encode($0, addSpecialTokens: false)
      }
      var streams: [Int: StreamingDecoder] = [:]
      var stopped = false
      let result = try model.generate(ids, options: options.generationOptions()) { prompt, completion, token in
        guard let callback else { return true }
        let key = prompt * Int(options.num_return_sequences) + completion
        let text = streams[key, default: StreamingDecoder(tokenizer)].append(token)
        let shown = model.isStop(token) ? "" : text
        stopped = onCallersThread { callback(prompt, completion, token, shown, user_data) } != 0
        return !stopped
      }
      guard !stopped else { throw DPOError(.cancelled, "the token callback asked to stop") }
      output.pointee = try HandleKind.completions.make(CompletionTable(result, model))
    }
  }
}

@_cdecl("dpo_completions_get") @implementation
public func dpo_completions_get(
  _ completions: OpaquePointer?, _ prompt: Int, _ index: Int, _ text: UnsafeMutablePointer<UnsafePointer<CChar>?>?,
  _ ids: UnsafeMutablePointer<UnsafePointer<Int32>?>?, _ count: UnsafeMutablePointer<Int>?,
  _ stopped: UnsafeMutablePointer<Int32>?
) -> Int32 {
  withStatus(completions) {
    try HandleKind.completions.use(completions) { table in
      guard table.rows.indices.contains(prompt), table.rows[prompt].indices.contains(index) else {
        throw DPOError.argument(
          "completion \(UInt(bitPattern: index)) of prompt \(UInt(bitPattern: prompt)); there are \(table.rows.first?.count ?? 0) of each of \(table.rows.count)"
        )
      }
      let entry = table.rows[prompt][index]
      text?.pointee = UnsafePointer(entry.text)
      ids?.pointee = UnsafePointer(entry.ids.baseAddress)
      count?.pointee = entry.ids.count
      stopped?.pointee = entry.stopped ? 1 : 0
    }
  }
}

@_cdecl("dpo_completions_release") @implementation
public func dpo_completions_release(_ completions: OpaquePointer?) { HandleKind.completions.release(completions) }

// MARK: - Export

extension dpo_export_options {
  /// Model and adapter: `base` is the model of an adapter at `input`.
  func source(_ input: String) throws -> (input: String, adapter: String?) {
    let base = try optionalText(base, "base")
    let adapter = try optionalText(adapter, "adapter")
    guard base == nil || adapter == nil else { throw DPOError.argument("base and adapter do not go together") }
    return base.map { ($0, input) } ?? (input, adapter)
  }
}

@_cdecl("dpo_export_options_init") @implementation
public func dpo_export_options_init(_ options: UnsafeMutablePointer<dpo_export_options>?, _ struct_size: Int) -> Int32 {
  withStatus { try dpo_export_options.write(.defaults, to: options, size: struct_size) }
}

@_cdecl("dpo_export") @implementation
public func dpo_export(
  _ input: UnsafePointer<CChar>?, _ format: Int32, _ output: UnsafePointer<CChar>?,
  _ options: UnsafePointer<dpo_export_options>?
) -> Int32 {
  withStatus {
    let options = try dpo_export_options.read(options, defaults: .defaults)
    let dtype = try optionalText(options.dtype, "dtype").map(DType.init(exportNamed:)) ?? .f32
    let (input, adapter) = try options.source(text(input, "input"))
    try Machine.requireRoom()
    try ModelFile.export(
      input: input, adapter: adapter, to: exportFormat(format), dtype: dtype,
      merge: options.merge != 0, output: text(output, "output"), overwrite: options.overwrite != 0)
  }
}

private func exportFormat(_ number: Int32) throws -> ExportFormat {
  switch number {
  case Int32(DPO_EXPORT_HDF5.rawValue): .hdf5
  case Int32(DPO_EXPORT_SAFETENSORS.rawValue): .safetensors
  case Int32(DPO_EXPORT_GGUF.rawValue): .gguf
  case Int32(DPO_EXPORT_PEFT.rawValue): .peft
  case Int32(DPO_EXPORT_GGUF_LORA.rawValue): .ggufLoRA
  default: throw DPOError.argument("format \(number) is unknown; expected 0 to 4")
  }
}
