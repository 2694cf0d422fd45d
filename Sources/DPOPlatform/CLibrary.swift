// The one place that names the platform's C library; everything else says `import DPOPlatform`. It is a module of its own so
// that `import DPO` does not bring the C library's names into a user's program.
#if canImport(Glibc)
  @_exported import Glibc
#elseif canImport(Musl)
  @_exported import Musl
#elseif canImport(Darwin)
  @_exported import Darwin
#endif
