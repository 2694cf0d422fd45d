import DPOBase

/// Tables of Arrow give every row the columns and keys of all rows, null where a row has none. They are taken away again, at any
/// depth, as TRL's `remove_none_values` does. Text that holds JSON, such as tools in one string, keeps them.
extension JSONObject {
  var withoutNulls: JSONObject {
    guard hasNulls else { return self }
    var result = JSONObject()
    for (key, value) in members where !value.isNull { result[key] = value.withoutNulls }
    return result
  }

  /// Members that are null left out, but not those of members.
  var withoutNullMembers: JSONObject {
    var result = JSONObject()
    for (key, value) in members where !value.isNull { result[key] = value }
    return result
  }

  fileprivate var hasNulls: Bool { members.contains { $0.value.isNull || $0.value.hasNulls } }
}

extension JSON {
  fileprivate var withoutNulls: JSON {
    switch self {
    case .object(let object): .object(object.withoutNulls)
    case .array(let items): hasNulls ? .array(items.map(\.withoutNulls)) : self
    default: self
    }
  }

  fileprivate var hasNulls: Bool {
    switch self {
    case .object(let object): object.hasNulls
    case .array(let items): items.contains(where: \.hasNulls)
    default: false
    }
  }
}
