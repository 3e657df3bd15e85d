namespace VllmNative.Tokenization.Jinja;

/// <summary>
/// A string that remembers which of its parts came from the conversation: those are marked, sorted and disjoint.
/// Special tokens are recognised outside the marks only.
/// </summary>
internal sealed class JinjaString : JinjaValue
{
    private static readonly TextRange[] NoMarks = [];

    public JinjaString(string text, TextRange[]? marks = null)
    {
        Text = text;
        Marks = marks ?? NoMarks;
    }

    public static JinjaString Empty { get; } = new("");

    public string Text { get; }

    public TextRange[] Marks { get; }

    public override string TypeName => "str";

    public override bool IsTrue => Text.Length > 0;

    public static JinjaString Marked(string text) => text.Length == 0 ? Empty : new(text, [new TextRange(0, text.Length)]);

    /// <summary>The result of an operation that loses positions: marked whole if any part of the source was.</summary>
    public JinjaString Derive(string text) => Marks.Length > 0 ? Marked(text) : new JinjaString(text);

    public JinjaString Slice(int start, int length)
    {
        if (start == 0 && length == Text.Length)
        {
            return this;
        }

        MarkedTextBuilder builder = new();
        builder.Append(this, start, length);
        return builder.ToValue();
    }
}
