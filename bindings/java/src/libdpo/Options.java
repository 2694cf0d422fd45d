package libdpo;

import java.util.LinkedHashMap;
import java.util.Map;

/** Options by name; what is not set keeps its default. C checks them where they are used. */
public abstract class Options {
  private final String kind;
  private final Map<String, Object> values = new LinkedHashMap<>();

  Options(String kind) {
    this.kind = kind;
  }

  final void set(String name, Object value) {
    values.put(name, value);
  }

  /** {"lora_r": 16, "lora_target_modules": ["q_proj"]} */
  public final String toJson() {
    StringBuilder json = new StringBuilder();
    write(json, values);
    return json.toString();
  }

  @Override
  public final String toString() {
    return toJson();
  }

  /** Kind and JSON, as native methods take them. */
  static byte[][] given(String kind, Options options) {
    return new byte[][] {
      Native.utf8(options == null ? kind : options.kind), options == null ? null : Native.utf8(options.toJson())
    };
  }

  private static void write(StringBuilder json, Object value) {
    if (value instanceof Options options) {
      write(json, options.values);
    } else if (value instanceof Map<?, ?> map) {
      String separator = "{";
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        json.append(separator);
        write(json, entry.getKey());
        json.append(": ");
        write(json, entry.getValue());
        separator = ", ";
      }
      json.append(map.isEmpty() ? "{}" : "}");
    } else if (value instanceof String[] texts) {
      writeList(json, (Object[]) texts);
    } else if (value instanceof double[] numbers) {
      writeList(json, java.util.Arrays.stream(numbers).boxed().toArray());
    } else if (value instanceof String text) {
      writeText(json, text);
    } else if (value instanceof Double number && number.isNaN()) {
      json.append("null");
    } else {
      json.append(value);
    }
  }

  private static void writeList(StringBuilder json, Object... items) {
    json.append('[');
    for (int i = 0; i < items.length; i++) {
      json.append(i == 0 ? "" : ", ");
      write(json, items[i]);
    }
    json.append(']');
  }

  private static void writeText(StringBuilder json, String text) {
    json.append('"');
    for (int i = 0; i < text.length(); i++) {
      char character = text.charAt(i);
      if (character == '"' || character == '\\') {
        json.append('\\').append(character);
      } else if (character < ' ') {
        json.append(String.format("\\u%04x", (int) character));
      } else {
        json.append(character);
      }
    }
    json.append('"');
  }
}
