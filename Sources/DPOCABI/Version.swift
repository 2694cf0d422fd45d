import CDPO
private let v: StaticString = "0.1.0"
@_cdecl("dpo_version") @implementation public func dpo_version() -> UnsafePointer<CChar>? {
  UnsafeRawPointer(v.utf8Start).assumingMemoryBound(to: CChar.self)
}
