import CDPO
import CHandles
import DPO
import DPOBase
import DPOPlatform

// Section "errors, version" of dpo.h.

/// A string that lives as long as the program.
func staticText(_ text: StaticString) -> UnsafePointer<CChar> {
  UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

nonisolated(unsafe) let versionText: UnsafePointer<CChar> = {
  let text = DPOVersion.string.utf8CString
  let memory = UnsafeMutablePointer<CChar>.allocate(capacity: text.count)
  for (index, byte) in text.enumerated() { memory[index] = byte }
  return UnsafePointer(memory)
}()

@_cdecl("dpo_version") @implementation public func dpo_version() -> UnsafePointer<CChar>? { versionText }

@_cdecl("dpo_version_number") @implementation public func dpo_version_number() -> Int32 {
  DPO_VERSION_MAJOR * 10_000 + DPO_VERSION_MINOR * 100 + DPO_VERSION_PATCH
}

@_cdecl("dpo_abi_version") @implementation public func dpo_abi_version() -> Int32 { DPO_ABI_VERSION }

@_cdecl("dpo_last_error") @implementation public func dpo_last_error() -> UnsafePointer<CChar>? { ch_last_error() }

@_cdecl("dpo_status_name") @implementation public func dpo_status_name(_ status: Int32) -> UnsafePointer<CChar>? {
  guard status != DPO_OK else { return staticText("DPO_OK") }
  guard let code = DPOError.Code(rawValue: status) else { return staticText("unknown status") }
  return switch code {
  case .invalidArgument: staticText("DPO_ERROR_INVALID_ARGUMENT")
  case .io: staticText("DPO_ERROR_IO")
  case .format: staticText("DPO_ERROR_FORMAT")
  case .unsupported: staticText("DPO_ERROR_UNSUPPORTED")
  case .mismatch: staticText("DPO_ERROR_MISMATCH")
  case .memory: staticText("DPO_ERROR_MEMORY")
  case .nonFinite: staticText("DPO_ERROR_NON_FINITE")
  case .cancelled: staticText("DPO_ERROR_CANCELLED")
  case .state: staticText("DPO_ERROR_STATE")
  case .internal: staticText("DPO_ERROR_INTERNAL")
  case .diverged: staticText("DPO_ERROR_DIVERGED")
  }
}

@_cdecl("dpo_string_free") @implementation public func dpo_string_free(_ text: UnsafeMutablePointer<CChar>?) {
  free(text)
}
