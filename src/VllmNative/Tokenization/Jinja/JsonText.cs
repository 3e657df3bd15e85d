using System.Globalization;
using System.Text.Json;
using VllmNative.Diagnostics;

namespace VllmNative.Tokenization.Jinja;

/// <summary>JSON to values and values to JSON, the latter as Python's json.dumps(ensure_ascii=False) writes it.</summary>
internal static class JsonText
{
    /// <summary>Converts JSON; its strings are marked, because JSON comes with the request.</summary>
    public static JinjaValue Read(JsonElement json)
    {
        switch (json.ValueKind)
        {
            case JsonValueKind.Object:
                JinjaDict dict = new();
                foreach (JsonProperty member in json.EnumerateObject())
                {
                    dict.Set(JinjaString.Marked(member.Name), Read(member.Value));
                }

                return dict;
            case JsonValueKind.Array:
                return new JinjaList([.. json.EnumerateArray().Select(Read)]);
            case JsonValueKind.String:
                return JinjaString.Marked(Text(json));
            case JsonValueKind.Number:
                return json.TryGetInt64(out long integer) && !json.GetRawText().AsSpan().ContainsAny('.', 'e', 'E')
                    ? new JinjaInt(integer)
                    : new JinjaFloat(json.GetDouble());
            case JsonValueKind.True or JsonValueKind.False:
                return JinjaBool.Of(json.GetBoolean());
            default:
                return JinjaNone.Instance;
        }
    }

    private static string Text(JsonElement json)
    {
        try
        {
            return json.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw new InvalidRequestException("messages", "a JSON string holds half a surrogate pair");
        }
    }

    public static JinjaString Write(JinjaValue value, CallArguments arguments, RenderContext context)
    {
        int indent = arguments.Find(1, "indent") is { } given and not JinjaNone ? (int)Math.Clamp(arguments.Int(1, "indent", 0, context), 0, 64) : -1;
        Writer writer = new(context, indent, sortKeys: arguments.Flag(3, "sort_keys", false), ascii: arguments.Flag(0, "ensure_ascii", false));
        if (arguments.Find(2, "separators") is JinjaList { Items: [JinjaString item, JinjaString key] })
        {
            writer.ItemSeparator = item.Text;
            writer.KeySeparator = key.Text;
        }

        writer.Write(value, 0);
        return writer.Output.ToValue();
    }

    private sealed class Writer(RenderContext context, int indent, bool sortKeys, bool ascii)
    {
        public MarkedTextBuilder Output { get; } = new();

        public string ItemSeparator { get; set; } = indent >= 0 ? "," : ", ";

        public string KeySeparator { get; set; } = ": ";

        public void Write(JinjaValue value, int depth)
        {
            context.Charge(1);
            context.ChargeText(Output.Length < context.Limits.MaxOutputLength ? 0 : Output.Length + 1L);
            context.Enter();
            switch (value)
            {
                case JinjaNone:
                    Output.Append("null");
                    break;
                case JinjaBool flag:
                    Output.Append(flag.Value ? "true" : "false");
                    break;
                case JinjaInt number:
                    Output.Append(number.Value.ToString(CultureInfo.InvariantCulture));
                    break;
                case JinjaFloat number:
                    Output.Append(Float(number.Value));
                    break;
                case JinjaString text:
                    WriteString(text);
                    break;
                case JinjaList list:
                    WriteAll(list.Items.Select(item => (default(JinjaString), item)), list.Items.Count, '[', ']', depth);
                    break;
                case JinjaDict dict:
                    IEnumerable<(JinjaString?, JinjaValue)> entries = dict.Entries.Select(entry => ((JinjaString?)Key(entry.Key), entry.Value));
                    WriteAll(
                        sortKeys ? entries.OrderBy(entry => entry.Item1!.Text, StringComparer.Ordinal) : entries, dict.Entries.Count, '{', '}', depth);
                    break;
                default:
                    throw context.Fail($"{value.TypeName} cannot be written as JSON");
            }

            context.Leave();
        }

        private void WriteAll(IEnumerable<(JinjaString? Key, JinjaValue Value)> entries, int count, char open, char close, int depth)
        {
            Output.Append(open.ToString());
            bool first = true;
            foreach ((JinjaString? key, JinjaValue value) in entries)
            {
                Output.Append(first ? "" : ItemSeparator);
                NewLine(depth + 1);
                first = false;
                if (key is not null)
                {
                    WriteString(key);
                    Output.Append(KeySeparator);
                }

                Write(value, depth + 1);
            }

            if (count > 0)
            {
                NewLine(depth);
            }

            Output.Append(close.ToString());
        }

        private void NewLine(int depth)
        {
            if (indent >= 0)
            {
                context.Charge(1 + (depth * indent / 32));
                Output.Append("\n" + new string(' ', depth * indent));
            }
        }

        private JinjaString Key(JinjaValue key) => key switch
        {
            JinjaString text => text,
            JinjaNone => new JinjaString("null"),
            JinjaBool flag => new JinjaString(flag.Value ? "true" : "false"),
            JinjaFloat number => new JinjaString(Float(number.Value)),
            JinjaInt => TextFormat.Text(key, context),
            _ => throw context.Fail($"{key.TypeName} cannot be a key in JSON"),
        };

        private static string Float(double value) => double.IsNaN(value) ? "NaN"
            : double.IsInfinity(value) ? (value > 0 ? "Infinity" : "-Infinity")
            : TextFormat.Float(value);

        private void WriteString(JinjaString value)
        {
            context.ChargeText((long)Output.Length + value.Text.Length);
            MarkedTextBuilder text = Output;
            text.Append("\"");
            int start = 0;
            for (int i = 0; i < value.Text.Length; i++)
            {
                if (Escape(value.Text[i]) is { } escape)
                {
                    text.Append(value, start, i - start);
                    text.Append(value.Derive(escape));
                    start = i + 1;
                }
            }

            text.Append(value, start, value.Text.Length - start);
            text.Append("\"");
        }

        private string? Escape(char c) => c switch
        {
            '"' => "\\\"",
            '\\' => "\\\\",
            '\n' => "\\n",
            '\r' => "\\r",
            '\t' => "\\t",
            '\b' => "\\b",
            '\f' => "\\f",
            < ' ' => $"\\u{(int)c:x4}",
            >= '\x7f' when ascii && c != '\x7f' => $"\\u{(int)c:x4}",
            _ => null,
        };
    }
}
