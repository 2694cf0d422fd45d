import CKernels
import DPOBase
import DPOModel
import DPOStorage
import DPOTensor

/// How an optimiser's states are stored.
package enum StateFormat: Sendable, Equatable {
  case float32
  /// 2 bytes a number, rounded up or down by chance, so that what changes slowly does not stand still.
  case bfloat16
  /// Dettmers et al. 2022, 8-bit Optimizers via Block-wise Quantization, as bitsandbytes has it: blocks of 256 numbers from a
  /// parameter's first on, each with its largest, and 8 bits a number. Parameters of fewer than 4096 numbers have f32.
  case dynamic8

  package static let blockSize = 256
  /// bitsandbytes' `min_8bit_size`.
  package static let smallest = 4096

  package var hasBlocks: Bool { self == .dynamic8 }

  /// Whether states of a parameter of so many numbers are in blocks.
  func hasBlocks(_ count: Int) -> Bool { hasBlocks && count >= StateFormat.smallest }

  static func blocks(_ count: Int) -> Int { (count + blockSize - 1) / blockSize }
}

/// Where the states of parameters lie in memory: f32 numbers first, then those of 2 bytes or 8 bits.
package struct StateLayout: Sendable {
  let format: StateFormat
  /// f32 numbers: states, or the largest of each block.
  private(set) var floats = 0
  /// Numbers of 2 bytes, or of 8 bits.
  private(set) var packed = 0

  package init(_ format: StateFormat) { self.format = format }

  /// Makes room for a part of a parameter of `whole` numbers.
  mutating func add(_ count: Int, of whole: Int) -> StateMemory.Place {
    switch format {
    case .float32: break
    case .bfloat16:
      defer { packed += count }
      return .bfloat16(packed)
    case .dynamic8 where format.hasBlocks(whole):
      defer {
        packed += count
        floats += StateFormat.blocks(count)
      }
      return .dynamic8(codes: packed, scales: floats)
    case .dynamic8: break
    }
    defer { floats += count }
    return .float32(floats)
  }

  /// f32 numbers that everything takes.
  var size: Int { floats + (packed * (format == .bfloat16 ? 2 : 1) + 3) / 4 }
  package var bytes: Int { 4 * size }
}

/// One state of every parameter.
final class StateMemory {
  /// A parameter's first number, or a later one.
  enum Place {
    case float32(Int)
    case bfloat16(Int)
    case dynamic8(codes: Int, scales: Int)

    /// `count` numbers further on; in blocks, a whole number of these.
    func advanced(by count: Int) -> Place {
      switch self {
      case .float32(let offset): .float32(offset + count)
      case .bfloat16(let offset): .bfloat16(offset + count)
      case .dynamic8(let codes, let scales):
        .dynamic8(codes: codes + count, scales: scales + count / StateFormat.blockSize)
      }
    }
  }

  private let buffer: FloatBuffer
  private let packed: UnsafeMutableRawPointer
  private let map: DynamicMap

  /// - Parameter directory: of the file that holds it; nil: memory does.
  init(_ state: ElementState, _ layout: StateLayout, in directory: String?) throws {
    buffer = try FloatBuffer(count: layout.size, in: directory)
    packed = UnsafeMutableRawPointer(buffer.pointer + layout.floats)
    map = state.isSigned ? .signed : .unsigned
  }

  var floats: UnsafeMutablePointer<Float> { buffer.pointer }
  private var halves: UnsafeMutablePointer<UInt16> { packed.assumingMemoryBound(to: UInt16.self) }
  var codes: UnsafeMutablePointer<UInt8> { packed.assumingMemoryBound(to: UInt8.self) }

  func decode(_ place: Place, _ count: Int, into out: UnsafeMutablePointer<Float>) {
    let kernels = Engine.best.kernels.pointee
    switch place {
    case .float32(let offset): out.update(from: floats + offset, count: count)
    case .bfloat16(let offset): kernels.dequantize(CK_BF16, halves + offset, out, count)
    case .dynamic8(let first, let scales):
      for start in stride(from: 0, to: count, by: StateFormat.blockSize) {
        kernels.dynamic_decode(
          map.table, codes + first + start, floats[scales + start / StateFormat.blockSize], out + start,
          min(StateFormat.blockSize, count - start))
      }
    }
  }

  /// `chances`, `first`: what rounds bf16 numbers up or down, and the number that the first one is of those.
  func encode(_ numbers: UnsafePointer<Float>, _ place: Place, _ count: Int, chances: UInt32, first: Int) {
    let kernels = Engine.best.kernels.pointee
    switch place {
    case .float32(let offset): (floats + offset).update(from: numbers, count: count)
    case .bfloat16(let offset):
      kernels.round_by_chance(numbers, halves + offset, count, chances, UInt32(truncatingIfNeeded: first))
    case .dynamic8(let start, let scales):
      for from in stride(from: 0, to: count, by: StateFormat.blockSize) {
        floats[scales + from / StateFormat.blockSize] = kernels.dynamic_encode(
          map.table, numbers + from, codes + start + from, min(StateFormat.blockSize, count - from))
      }
    }
  }

  /// What a checkpoint holds of it: with 8 bits, codes and in a second group the largest numbers of blocks.
  func sections(
    _ group: String, _ places: [(entry: ParameterStore.Entry, place: Place)], model: DecoderConfiguration
  ) -> [CheckpointSection] {
    let turned = transposedNames(model)
    var numbers = CheckpointSection(group: group, entries: [])
    var scales = CheckpointSection(group: group + "_absmax", entries: [])
    for (entry, place) in places {
      switch place {
      case .float32(let offset): numbers.add(entry, .float32(floats + offset), transposed: turned.contains(entry.name))
      case .bfloat16(let offset):
        numbers.add(entry, .bfloat16(halves + offset), transposed: turned.contains(entry.name))
      case .dynamic8(let first, let scale):
        numbers.add(entry, codes: codes + first)
        scales.add(entry, scales: floats + scale)
      }
    }
    return scales.entries.isEmpty ? [numbers] : [numbers, scales]
  }
}

extension CheckpointSection {
  /// Adds a parameter's 8-bit codes.
  mutating func add(_ entry: ParameterStore.Entry, codes: UnsafeMutablePointer<UInt8>) {
    entries.append(.init(name: entry.name, shape: [entry.count], numbers: .uint8(codes)))
  }

  /// Adds the largest numbers of a parameter's blocks.
  mutating func add(_ entry: ParameterStore.Entry, scales: UnsafeMutablePointer<Float>) {
    entries.append(.init(name: entry.name, shape: [StateFormat.blocks(entry.count)], numbers: .float32(scales)))
  }
}
