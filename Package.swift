// swift-tools-version: 6.1
import PackageDescription

// Flags that only the shared library needs stand on an empty target: on any other target they break `swift test`.
// See CONTRIBUTING.md, "Build". The command is linked statically by hand as well: --static-swift-stdlib would compile every
// module a second time, apart from what the tests use. They are for ELF linkers; on macOS the runtime is the system's.
let linux = BuildSettingCondition.when(platforms: [.linux])
let sharedLibraryFlags: [LinkerSetting] = [
  .unsafeFlags(
    [
      "-static-stdlib",
      "-use-ld=lld",  // gold lists some protected Swift symbols among the dynamic ones
      "-Xlinker", "-soname=libdpo.so.0",
      "-Xlinker", "--version-script=\(Context.packageDirectory)/Sources/DPOCABI/libdpo.map",
      "-Xlinker", "--no-undefined-version",
      "-Xlinker", "--gc-sections",
      "-Xlinker", "-z", "-Xlinker", "now",
      "-Xlinker", "-z", "-Xlinker", "nodelete",  // threads that used it end after a dlclose, and call its destructors
    ], linux)
]

let heap = Target.Dependency.product(name: "HeapModule", package: "swift-collections")

let package = Package(
  name: "libdpo",
  products: [
    .library(name: "DPO", targets: ["DPO"]),
    .library(name: "DPOShared", type: .dynamic, targets: ["DPOShared", "DPOCABI"]),
    .executable(name: "dpo", targets: ["dpo-tool"]),
    .executable(name: "sentiment-demo", targets: ["sentiment-demo"]),
    .executable(name: "quick-start", targets: ["quick-start"]),
    .executable(name: "both-roads", targets: ["both-roads"]),
    .executable(name: "thumbs", targets: ["thumbs"]),
  ],
  // Packages that use the library ask for `traits: []`: SwiftPM then leaves out what only the command needs.
  traits: [
    .default(enabledTraits: ["Command"]),
    .trait(name: "Command", description: "The command dpo, with swift-argument-parser."),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
  ],
  targets: [
    .systemLibrary(name: "CDPO", path: "include"),
    .systemLibrary(name: "CHDF5", pkgConfig: "hdf5-serial", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "CJansson", pkgConfig: "jansson", providers: [.apt(["libjansson-dev"])]),
    .systemLibrary(name: "CPCRE2", pkgConfig: "libpcre2-8", providers: [.apt(["libpcre2-dev"])]),
    // Without pkg-config, which would put the folder of the system's shared libraries before that of the static ones.
    .systemLibrary(name: "CYAML", providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CUTF8Proc", providers: [.apt(["libutf8proc-dev"])]),
    .target(name: "CKernels"),

    .target(name: "DPOPlatform"),
    .target(name: "DPOBase", dependencies: ["DPOPlatform", "CJansson", "CKernels"]),
    .target(name: "DPOTensor", dependencies: ["DPOBase", "CKernels"]),
    .target(name: "DPOKernels", dependencies: ["DPOTensor", "CKernels"]),
    .target(name: "DPOModel", dependencies: ["DPOKernels", "CPCRE2", heap]),
    .target(name: "DPOText", dependencies: ["DPOBase", "CPCRE2", "CUTF8Proc", heap]),
    .target(name: "DPOStorage", dependencies: ["DPOModel", "DPOText", "CHDF5"]),
    .target(name: "DPO", dependencies: ["DPOStorage", "CDPO", "CZlib"]),
    .target(name: "CHandles"),
    .target(name: "DPOCABI", dependencies: ["DPO", "CDPO", "CHandles"], exclude: ["libdpo.map"]),
    .target(name: "DPOShared", dependencies: ["DPOCABI"], linkerSettings: sharedLibraryFlags),
    .target(name: "CArguments"),
    .executableTarget(
      name: "dpo-tool",
      dependencies: [
        "DPO", "CArguments", "CYAML",
        .product(name: "ArgumentParser", package: "swift-argument-parser", condition: .when(traits: ["Command"])),
      ],
      linkerSettings: [
        .unsafeFlags(
          [
            "-static-stdlib", "-use-ld=lld", "-Xlinker", "--gc-sections", "-Xlinker", "--no-export-dynamic", "-Xlinker",
            "-z", "-Xlinker", "now",
          ], linux),
        .linkedLibrary("FoundationEssentials", linux), .linkedLibrary("_FoundationCollections", linux),
        .linkedLibrary("_FoundationCShims", linux),
        .linkedLibrary("swiftSynchronization", linux),
      ]),

    .executableTarget(name: "quick-start", dependencies: ["DPO"], path: "examples/swift/quick-start"),
    .executableTarget(name: "both-roads", dependencies: ["DPO"], path: "examples/swift/both-roads"),
    .executableTarget(name: "thumbs", dependencies: ["DPO"], path: "examples/swift/thumbs"),
    .executableTarget(name: "sentiment-demo", dependencies: ["DPO"], path: "examples/sentiment", exclude: ["run"]),

    .target(name: "TestSupport", dependencies: ["DPOStorage"], path: "Tests/TestSupport"),
    .testTarget(name: "DPOBaseTests", dependencies: ["DPOBase", "DPOPlatform"]),
    .testTarget(name: "DPOKernelsTests", dependencies: ["DPOKernels", "TestSupport"]),
    .testTarget(name: "DPOModelTests", dependencies: ["DPOModel", "DPOStorage", "TestSupport"]),
    .testTarget(name: "DPOTextTests", dependencies: ["DPOText", "TestSupport"]),
    .executableTarget(name: "checkpoint-loop", dependencies: ["DPOStorage"], path: "Tests/CheckpointLoop"),
    .testTarget(name: "DPOStorageTests", dependencies: ["DPOStorage", "TestSupport", "checkpoint-loop"]),
    .testTarget(name: "DPOTests", dependencies: ["DPO", "TestSupport"]),
  ],
  swiftLanguageModes: [.v6]
)
