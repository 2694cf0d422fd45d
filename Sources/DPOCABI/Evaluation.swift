import CDPO
import DPO
import DPOBase

// Sections 4 and 5 of dpo.h: evaluation of models, and of exported files.

/// Uses a handle that may be NULL.
private func useOptional<Object, Result>(
  _ kind: HandleKind<Object>, _ handle: OpaquePointer?, as argument: String, _ body: (Object?) throws -> Result
) throws -> Result {
  try handle == nil ? body(nil) : kind.use(handle, as: argument) { try body($0) }
}

@_cdecl("dpo_model_evaluate") @implementation
public func dpo_model_evaluate(
  _ model: OpaquePointer?, _ reference: OpaquePointer?, _ data: UnsafePointer<CChar>?,
  _ options: UnsafePointer<dpo_train_options>?, _ samples: UnsafePointer<dpo_generation_options>?,
  _ classifier: OpaquePointer?, _ reward_model: OpaquePointer?,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  withStatus(model) {
    let json = try required(json, "json")
    let path = try text(data, "data")
    let options = try trainingOptions(options)
    let generation = try samples.map { try dpo_generation_options.read($0, defaults: .defaults).generationOptions() }
    guard classifier == nil || reward_model == nil else {
      throw DPOError.argument("classifier and reward_model: give one judge")
    }
    guard generation != nil || (classifier == nil && reward_model == nil) else {
      throw DPOError.argument("a judge needs samples")
    }
    let report = try useCancellably(model) { model in
      try useOptional(.model, reference, as: "reference") { reference in
        try useOptional(.classifier, classifier, as: "classifier") { classifier in
          try useOptional(.model, reward_model, as: "reward_model") { rewardModel in
            try model.evaluate(
              [path], reference: reference, options: options, samples: generation,
              judge: classifier.map { .classifier($0.classifier) } ?? rewardModel.map(Judge.rewardModel))
          }
        }
      }
    }
    json.pointee = try copiedText(report.json.description).text
  }
}

@_cdecl("dpo_export_check") @implementation
public func dpo_export_check(
  _ input: UnsafePointer<CChar>?, _ output: UnsafePointer<CChar>?, _ data: UnsafePointer<CChar>?,
  _ reference: UnsafePointer<CChar>?, _ options: UnsafePointer<dpo_export_options>?,
  _ json: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  withStatus {
    let json = try required(json, "json")
    let (input, adapter) = try dpo_export_options.read(options, defaults: .defaults).source(text(input, "input"))
    let output = try text(output, "output")
    let check = try ExportCheck(
      input: input, adapter: adapter, referenceModel: optionalText(reference, "reference"), data: text(data, "data"))
    json.pointee = try copiedText(check.measure(output).json.description).text
  }
}
