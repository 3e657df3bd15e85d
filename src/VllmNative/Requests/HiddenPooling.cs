namespace VllmNative.Requests;

/// <summary>
/// Gathers the hidden states of a request's prompt, token by token in f64, so that the size of chunks does not show. The device's
/// thread adds, before the engine hears of the step; who reads has heard of the request's end.
/// </summary>
internal sealed class HiddenPooling(PoolingType type, int promptLength)
{
    private double[] _sum = [];
    private int _next;

    /// <summary>The first position that it wants of a chunk that begins and ends at these.</summary>
    internal int FirstOf(int begin, int end) => type == PoolingType.Mean ? begin : end == promptLength ? end - 1 : end;

    /// <summary>Whether all is there and is numbers.</summary>
    internal bool IsGood => _next == promptLength && Array.TrueForAll(_sum, double.IsFinite);

    /// <summary>Takes the hidden state of a position; what begins anew forgets what it had.</summary>
    internal void Add(int position, ReadOnlySpan<float> hidden)
    {
        if (position == FirstOf(0, promptLength))
        {
            _sum = _sum.Length == hidden.Length ? _sum : new double[hidden.Length];
            Array.Clear(_sum);
        }
        else if (position != _next)
        {
            // The step before failed, and the request with it.
            return;
        }

        for (int i = 0; i < hidden.Length; i++)
        {
            _sum[i] += hidden[i];
        }

        _next = position + 1;
    }

    /// <summary>The vector.</summary>
    internal float[] Result(bool normalize)
    {
        double count = type == PoolingType.Mean ? promptLength : 1;
        double length = normalize ? Math.Sqrt(_sum.Sum(value => value * value)) / count : 1;
        double scale = 1 / (count * (length > 0 ? length : 1));
        return [.. _sum.Select(value => (float)(value * scale))];
    }
}
