using System.Text;

namespace VllmNative.Tokenization.Jinja;

/// <summary>Builds a string out of parts and keeps their marks.</summary>
internal sealed class MarkedTextBuilder
{
    private readonly StringBuilder _text = new();
    private readonly List<TextRange> _marks = [];

    public int Length => _text.Length;

    public void Append(string trusted) => _text.Append(trusted);

    public void Append(JinjaString value) => Append(value, 0, value.Text.Length);

    public void Append(JinjaString value, int start, int length)
    {
        int offset = _text.Length - start;
        foreach (TextRange mark in value.Marks)
        {
            int from = Math.Max(mark.Start, start);
            int to = Math.Min(mark.End, start + length);
            if (from < to)
            {
                Mark(from + offset, to - from);
            }
        }

        _text.Append(value.Text, start, length);
    }

    public JinjaString ToValue() => _text.Length == 0 ? JinjaString.Empty : new(_text.ToString(), [.. _marks]);

    private void Mark(int start, int length)
    {
        if (_marks.Count > 0 && _marks[^1].End == start)
        {
            _marks[^1] = new TextRange(_marks[^1].Start, _marks[^1].Length + length);
        }
        else
        {
            _marks.Add(new TextRange(start, length));
        }
    }
}
