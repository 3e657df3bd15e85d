namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Turns spaces into a visible character, as SentencePiece does, and cuts before each of them.</summary>
internal sealed class MetaspacePreTokenizer(char replacement, MetaspacePrepend prepend, bool split) : PreTokenizer
{
    public override void Apply(PieceBuffer buffer)
    {
        List<TextRange> output = buffer.BeginRewrite();
        ReadOnlySpan<char> text = buffer.Text.Span;
        char[] result = new char[text.Length + buffer.Pieces.Count];
        int at = 0;
        foreach (TextRange piece in buffer.Pieces)
        {
            int start = at;
            ReadOnlySpan<char> span = text.Slice(piece.Start, piece.Length);
            bool wanted = prepend == MetaspacePrepend.Always
                || (prepend == MetaspacePrepend.First && buffer.AtInputStart && piece.Start == 0);
            if (wanted && span[0] != ' ' && span[0] != replacement)
            {
                result[at++] = replacement;
            }

            span.Replace(result.AsSpan(at, span.Length), ' ', replacement);
            at += span.Length;
            Cut(result, start, at, output);
        }

        buffer.Swap(result.AsMemory(0, at));
    }

    private void Cut(char[] text, int start, int end, List<TextRange> output)
    {
        for (int i = start + 1; split && i < end; i++)
        {
            if (text[i] == replacement)
            {
                output.Add(new TextRange(start, i - start));
                start = i;
            }
        }

        output.Add(new TextRange(start, end - start));
    }
}
