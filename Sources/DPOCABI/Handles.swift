import CDPO
import CHandles
import DPO
import DPOBase

/// Whether the handle's _cancel function was called since it was last asked: takes the wish, so that one cancel stops one
/// call.
func takeCancel(of handle: OpaquePointer?) -> @Sendable () -> Bool {
  nonisolated(unsafe) let flag = ch_cancel_flag(UnsafeRawPointer(handle))
  return {
    guard let flag, ch_flag_load(flag) != 0 else { return false }
    ch_flag_clear(flag)
    return true
  }
}

/// What a handle of dpo.h stands for. The table of live handles is CHandles; it keeps the object alive.
struct HandleKind<Object: AnyObject> {
  let code: UInt32
  let name: String

  /// A new handle that owns `object`.
  func make(_ object: Object) throws -> OpaquePointer {
    let retained = Unmanaged.passRetained(object)
    guard let handle = ch_create(code, retained.toOpaque()) else {
      retained.release()
      throw DPOError(.memory, "too many handles are open")
    }
    return OpaquePointer(handle)
  }

  /// Uses a handle: for the duration of `body` no other thread can.
  func use<Result>(
    _ handle: OpaquePointer?, as argument: String? = nil, _ body: (Object) throws -> Result
  ) throws -> Result {
    try held(handle, argument ?? name, by: ch_acquire, body)
  }

  /// The object of a handle, for use beside other calls: the handle is held for the look-up alone. Waits for a call that
  /// holds it.
  func shared(_ handle: OpaquePointer?) throws -> Object { try held(handle, name, by: ch_acquire_patiently) { $0 } }

  private func held<Result>(
    _ handle: OpaquePointer?, _ label: String,
    by acquire: (UnsafeRawPointer?, UInt32, UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Int32,
    _ body: (Object) throws -> Result
  ) throws -> Result {
    let raw = UnsafeRawPointer(handle)
    var found: UnsafeMutableRawPointer?
    let status = acquire(raw, code, &found)
    guard status == Int32(CH_OK) else { throw refusal(status, label, expected: "dpo_\(name)") }
    defer {
      if let last = ch_finish(raw) { Unmanaged<Object>.fromOpaque(last).release() }
    }
    guard let found else { throw DPOError(.internal, "\(label) stands for nothing") }
    return try body(Unmanaged<Object>.fromOpaque(found).takeUnretainedValue())
  }

  func release(_ handle: OpaquePointer?) {
    guard let object = ch_release(UnsafeRawPointer(handle), code) else { return }
    let release = { Unmanaged<Object>.fromOpaque(object).release() }
    if onDeepStack(release) != 0 { release() }
  }
}

/// Why a handle cannot be used.
private func refusal(_ status: Int32, _ label: String, expected: String) -> DPOError {
  switch status {
  case Int32(CH_NULL): .argument("\(label) is NULL")
  case Int32(CH_OTHER_KIND): .argument("\(label) is a handle of another kind; expected a \(expected)")
  case Int32(CH_RELEASED): DPOError(.state, "\(label) has been released")
  case Int32(CH_BUSY): DPOError(.state, "\(label) is in use by another call")
  case Int32(CH_ABANDONED):
    DPOError(.state, "a callback left a call on \(label) by an exception or longjmp; release it, and make a new one")
  case Int32(CH_FORKED): DPOError(.state, "\(label) was opened before fork(); open a new one in this process")
  default: .argument("\(label) is not a handle; expected a \(expected)")
  }
}

@_cdecl("dpo_handle_last_error") @implementation
public func dpo_handle_last_error(
  _ handle: UnsafeRawPointer?, _ text: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> Int32 {
  withStatus {
    let output = try required(text, "text")
    var status: Int32 = 0
    let text = ch_handle_error(handle, &status)
    guard status == Int32(CH_OK) else { throw refusal(status, "handle", expected: "handle of libdpo") }
    guard let text else { throw DPOError(.memory, "no memory for the text of an error") }
    output.pointee = text
  }
}

@_cdecl("dpo_handle_set_wait") @implementation
public func dpo_handle_set_wait(_ handle: UnsafeMutableRawPointer?, _ seconds: Double) -> Int32 {
  withStatus {
    guard seconds >= 0 else { throw DPOError.argument("seconds is \(seconds), expected 0 or more") }
    let status = ch_set_wait(handle, UInt64(min(seconds * 1e9, Double(CH_FOR_EVER))))
    guard status == Int32(CH_OK) else { throw refusal(status, "handle", expected: "handle of libdpo") }
  }
}
