namespace VllmNative.Cache;

/// <summary>Cached prefixes that stay for a while, whoever asks for room: each pin owns its blocks until its time is up.</summary>
internal sealed class PinnedPrefixes(BlockPool pool)
{
    private readonly List<Pin> _pins = [];

    private sealed record Pin(int[] Blocks, double Until);

    /// <summary>Blocks that pins own, as often as they own them; for invariant checks.</summary>
    internal IEnumerable<int> Blocks => _pins.SelectMany(pin => pin.Blocks);

    /// <summary>Blocks that pins own.</summary>
    internal int Count { get; private set; }

    /// <summary>Pins cached blocks, as many of the first ones as may be: pins never own more than half of the pool.</summary>
    /// <param name="blocks">In the order of the sequence.</param>
    /// <param name="until">In seconds of the engine's clock.</param>
    /// <returns>How many.</returns>
    internal int Add(ReadOnlySpan<int> blocks, double until)
    {
        int[] pinned = blocks[..Math.Clamp((pool.Total / 2) - Count, 0, blocks.Length)].ToArray();
        if (pinned.Length > 0)
        {
            Array.ForEach(pinned, pool.AddReference);
            Count += pinned.Length;
            _pins.Add(new Pin(pinned, until));
        }

        return pinned.Length;
    }

    /// <summary>Ends the pins whose time is up.</summary>
    internal void Expire(double now)
    {
        for (int i = _pins.Count - 1; i >= 0; i--)
        {
            if (_pins[i].Until <= now)
            {
                Remove(i);
            }
        }
    }

    /// <summary>Ends the pin that would end next; false when there is none.</summary>
    internal bool TryEndOne()
    {
        int first = -1;
        for (int i = 0; i < _pins.Count; i++)
        {
            first = first < 0 || _pins[i].Until < _pins[first].Until ? i : first;
        }

        if (first < 0)
        {
            return false;
        }

        Remove(first);
        return true;
    }

    private void Remove(int index)
    {
        int[] blocks = _pins[index].Blocks;
        _pins.RemoveAt(index);
        Count -= blocks.Length;
        pool.BeginChain();
        for (int i = blocks.Length - 1; i >= 0; i--)
        {
            pool.Release(blocks[i], blocks.Length);
        }
    }
}
