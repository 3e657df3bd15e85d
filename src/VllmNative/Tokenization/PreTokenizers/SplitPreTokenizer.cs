namespace VllmNative.Tokenization.PreTokenizers;

/// <summary>Cuts every piece at the matches of a pattern.</summary>
internal sealed class SplitPreTokenizer(SplitScanner scanner, SplitBehavior behavior, bool invert) : PreTokenizer
{
    public override void Apply(PieceBuffer buffer)
    {
        List<TextRange> output = buffer.BeginRewrite();
        ReadOnlySpan<char> text = buffer.Text.Span;
        foreach (TextRange piece in buffer.Pieces)
        {
            ReadOnlySpan<char> span = text.Slice(piece.Start, piece.Length);
            int produced = output.Count;
            bool previous = false;
            int at = 0;
            buffer.Matches.Clear();
            scanner.FindAll(span, buffer.Matches);
            foreach (TextRange match in buffer.Matches)
            {
                Emit(output, produced, piece.Start, at, match.Start, isMatch: invert, ref previous);
                Emit(output, produced, piece.Start, match.Start, match.End, isMatch: !invert, ref previous);
                at = match.End;
            }

            Emit(output, produced, piece.Start, at, span.Length, isMatch: invert, ref previous);
        }

        buffer.Swap();
    }

    private void Emit(List<TextRange> output, int produced, int offset, int start, int end, bool isMatch, ref bool previous)
    {
        if (start == end)
        {
            return;
        }

        bool hasLast = output.Count > produced;
        bool extend = hasLast && behavior switch
        {
            SplitBehavior.MergedWithPrevious => isMatch && !previous,
            SplitBehavior.MergedWithNext => previous && !isMatch,
            SplitBehavior.Contiguous => previous == isMatch,
            _ => false,
        };
        previous = isMatch;
        if (extend)
        {
            TextRange last = output[^1];
            output[^1] = new TextRange(last.Start, last.Length + end - start);
        }
        else if (!(isMatch && behavior == SplitBehavior.Removed))
        {
            output.Add(new TextRange(offset + start, end - start));
        }
    }
}
