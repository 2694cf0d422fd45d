import CDPO
import CHandles
import DPO
import DPOBase
import DPOPlatform

/// Runs the body of a C function, where the stack suffices for it. An error becomes the last error of the thread and of the
/// handle, and its code the status.
func withStatus(_ handle: OpaquePointer? = nil, _ body: () throws -> Void) -> Int32 {
  var failure: DPOError?
  let refused = onDeepStack {
    do { try body() } catch { failure = error as? DPOError ?? DPOError(.internal, "\(error)") }
  }
  if refused != 0 {
    let reason = systemMessage(refused)
    failure = DPOError(.memory, "the calling thread's stack is small, and no other thread can be made: \(reason)")
  }
  guard let failure else { return Int32(DPO_OK) }
  var message = failure.message
  message.withUTF8 { bytes in
    guard let base = bytes.baseAddress else { return ch_set_error("", 0) }
    base.withMemoryRebound(to: CChar.self, capacity: bytes.count) { text in
      ch_set_error(text, bytes.count)
      ch_set_handle_error(UnsafeRawPointer(handle), text, bytes.count)
    }
  }
  return failure.code.rawValue
}

/// Runs `body` on the calling thread or, if its stack is small, on another one; returns when it has ended. 0, or the reason
/// why it did not run.
func onDeepStack(_ body: () -> Void) -> Int32 { passed(body, to: ch_run_deep) }

/// Calls a function of the host on the thread from which the host called the library.
func onCallersThread(_ callback: () -> Int32) -> Int32 {
  var result: Int32 = 0
  passed({ result = callback() }, to: ch_run_on_caller)
  return result
}

/// Hands a closure to a C function that calls it, on any thread, before it returns.
private func passed<Result>(
  _ body: () -> Void,
  to function: (@convention(c) (UnsafeMutableRawPointer?) -> Void, UnsafeMutableRawPointer?) -> Result
) -> Result {
  withoutActuallyEscaping(body) { body in
    var body = body
    return withUnsafeMutablePointer(to: &body) { pointer in
      function({ $0?.assumingMemoryBound(to: (() -> Void).self).pointee() }, pointer)
    }
  }
}
