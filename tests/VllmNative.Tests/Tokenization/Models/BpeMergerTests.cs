using VllmNative.Tokenization.Models;
using Xunit;

namespace VllmNative.Tests.Tokenization.Models;

public class BpeMergerTests
{
    [Fact]
    public void Short_and_long_words_merge_as_the_definition_says()
    {
        for (int seed = 0; seed < 2000; seed++)
        {
            Random random = new(seed);
            (MergeTable table, Dictionary<(int, int), Merge> merges) = RandomMerges(random);
            List<int> word = [.. Enumerable.Range(0, random.Next(0, 120)).Select(_ => random.Next(3))];
            BpeMerger merger = new();
            merger.Clear();
            word.ForEach(merger.Add);
            IdBuffer output = new();
            merger.Run(table, output);
            Assert.True(Define(word, merges).SequenceEqual(output.Written.ToArray()), $"seed {seed}");
        }
    }

    private static (MergeTable Table, Dictionary<(int Left, int Right), Merge> Merges) RandomMerges(Random random)
    {
        Dictionary<(int, int), Merge> merges = [];
        int symbols = 3;
        for (int rank = 0; rank < 12; rank++)
        {
            merges.TryAdd((random.Next(symbols), random.Next(symbols)), new Merge(rank, symbols++));
        }

        MergeTable table = new(merges.Count);
        foreach (((int left, int right), Merge merge) in merges)
        {
            table.Add(left, right, merge);
        }

        return (table, merges);
    }

    private static List<int> Define(List<int> word, Dictionary<(int Left, int Right), Merge> merges)
    {
        while (true)
        {
            int best = -1;
            for (int i = 0; i + 1 < word.Count; i++)
            {
                if (merges.TryGetValue((word[i], word[i + 1]), out Merge merge)
                    && (best < 0 || merge.Rank < merges[(word[best], word[best + 1])].Rank))
                {
                    best = i;
                }
            }

            if (best < 0)
            {
                return word;
            }

            word[best] = merges[(word[best], word[best + 1])].Id;
            word.RemoveAt(best + 1);
        }
    }
}
