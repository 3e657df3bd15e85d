using VllmNative.Tokenization;
using Xunit;

namespace VllmNative.Tests.Tokenization;

public class EncodingCacheTests
{
    [Fact]
    public void A_flood_stays_within_entries_and_bytes()
    {
        EncodingCache cache = new(maxEntries: 50, maxBytes: 20_000);
        for (int i = 0; i < 5000; i++)
        {
            cache.Add($"{i}{new string('x', i % 700)}", true, true, new int[i % 300]);
            Assert.InRange(cache.Count, 0, 50);
            Assert.InRange(cache.Bytes, 0, 20_000);
        }

        Assert.True(cache.Count > 0);
    }

    [Fact]
    public void The_least_recently_used_text_goes_first()
    {
        EncodingCache cache = new(maxEntries: 2, maxBytes: 1 << 20);
        cache.Add("a", true, true, [1]);
        cache.Add("b", true, true, [2]);
        Assert.NotNull(cache.Find("a", true, true));
        cache.Add("c", true, true, [3]);
        Assert.Null(cache.Find("b", true, true));
        Assert.Equal([1], cache.Find("a", true, true)!);
        Assert.Equal(2, cache.Hits);
        Assert.Equal(1, cache.Misses);
    }

    [Fact]
    public void The_flags_are_part_of_the_key()
    {
        EncodingCache cache = new(maxEntries: 10, maxBytes: 1 << 20);
        cache.Add("a", true, true, [1]);
        Assert.Null(cache.Find("a", true, false));
        Assert.Null(cache.Find("a", false, true));
    }

    [Fact]
    public void A_text_above_a_quarter_of_the_memory_is_not_kept()
    {
        EncodingCache cache = new(maxEntries: 10, maxBytes: 4000);
        cache.Add(new string('x', 500), true, true, []);
        Assert.Equal(0, cache.Count);
    }

    [Fact]
    public void A_caller_that_changes_its_ids_does_not_change_the_cache()
    {
        Tokenizer tokenizer = Tokenizer.FromDirectory(TestAssets.Path("models", "demo"));
        string text = string.Concat(Enumerable.Repeat("Once upon a time ", 40));
        int[] first = tokenizer.Encode(text);
        int[] expected = (int[])first.Clone();
        first.AsSpan().Clear();
        int[] second = tokenizer.Encode(text);
        Assert.Equal(expected, second);
        second.AsSpan().Clear();
        Assert.Equal(expected, tokenizer.Encode(text));
        Assert.Equal(2, tokenizer.Cache.Hits);
    }

    [Fact]
    public void Many_threads_leave_it_consistent()
    {
        EncodingCache cache = new(maxEntries: 20, maxBytes: 10_000);
        Parallel.For(0, 20_000, i =>
        {
            string text = $"text {i % 60}";
            if (cache.Find(text, true, true) is { } ids)
            {
                Assert.Equal([i % 60], ids);
            }
            else
            {
                cache.Add(text, true, true, [i % 60]);
            }
        });
        Assert.Equal(20_000, cache.Hits + cache.Misses);
        Assert.InRange(cache.Count, 1, 20);
    }
}
