import CDPO
import DPO
import DPOBase

// Section 3 of dpo.h: ranks.

extension HandleKind where Object == Communicator {
  static var communicator: HandleKind { HandleKind(code: 8, name: "communicator") }
}

@_cdecl("dpo_communicator_create") @implementation
public func dpo_communicator_create(
  _ collectives: UnsafePointer<dpo_collectives>?, _ communicator: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    let output = try required(communicator, "communicator")
    guard let collectives else { throw DPOError.argument("collectives is NULL") }
    guard collectives.pointee.struct_size >= MemoryLayout<dpo_collectives>.stride else {
      throw DPOError.argument(
        "struct_size is \(collectives.pointee.struct_size); expected sizeof(dpo_collectives), "
          + "\(MemoryLayout<dpo_collectives>.stride)")
    }
    let foreign = try ForeignCollectives(collectives.pointee)
    output.pointee = try HandleKind.communicator.make(Communicator(foreign))
    foreign.takeOver()
  }
}

@_cdecl("dpo_communicator_open_mpi") @implementation
public func dpo_communicator_open_mpi(
  _ path: UnsafePointer<CChar>?, _ timeout: Double, _ communicator: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus {
    let output = try required(communicator, "communicator")
    output.pointee = try HandleKind.communicator.make(
      .mpi(plugin: optionalText(path, "path"), timeout: timeout))
  }
}

@_cdecl("dpo_communicator_ranks") @implementation
public func dpo_communicator_ranks(
  _ communicator: OpaquePointer?, _ rank: UnsafeMutablePointer<Int32>?, _ size: UnsafeMutablePointer<Int32>?
) -> Int32 {
  withStatus(communicator) {
    let ranks = try HandleKind.communicator.shared(communicator)
    rank?.pointee = Int32(clamping: ranks.rank)
    size?.pointee = Int32(clamping: ranks.size)
  }
}

@_cdecl("dpo_communicator_abort") @implementation
public func dpo_communicator_abort(_ communicator: OpaquePointer?, _ exit_status: Int32) -> Int32 {
  withStatus(communicator) {
    try HandleKind.communicator.shared(communicator).abort(exitStatus: exit_status)
    throw DPOError.unsupported("this communicator cannot end its ranks")
  }
}

@_cdecl("dpo_communicator_release") @implementation
public func dpo_communicator_release(_ communicator: OpaquePointer?) { HandleKind.communicator.release(communicator) }

@_cdecl("dpo_trainer_create_distributed") @implementation
public func dpo_trainer_create_distributed(
  _ communicator: OpaquePointer?, _ model: OpaquePointer?, _ reference: OpaquePointer?, _ dataset: OpaquePointer?,
  _ evaluation: OpaquePointer?, _ options: UnsafePointer<dpo_train_options>?,
  _ trainer: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  withStatus(communicator) {
    let communicator = try HandleKind.communicator.shared(communicator)
    try createTrainer(
      model, reference, dataset, evaluation, options, communicator: communicator, output: required(trainer, "trainer"))
  }
}
