using VllmNative.Engine;
using VllmNative.Requests;
using VllmNative.Tensors;
using VllmNative.Tests.Execution;
using Xunit;
using Chunk = VllmNative.Tests.Execution.ForwardHarness.Chunk;

namespace VllmNative.Tests.Models;

/// <summary>One tiny model for each architecture and rope variant, against the float32 reference.</summary>
public sealed class TinyGoldenTests
{
    private const double Tolerance = 1e-3;

    private static readonly int[] BlockSizes = [8, 16, 32];

    public static TheoryData<string> Models { get; } =
        new("llama", "llama3-rope", "llama-linear-rope", "llama-yarn", "mistral-sliding", "qwen2", "qwen3");

    [Theory]
    [MemberData(nameof(Models))]
    public void Logits_AgreeForTheWholePrompt(string model)
    {
        TinyGolden golden = TinyGolden.Load(model);
        foreach (int blockSize in BlockSizes)
        {
            using var harness = new ForwardHarness(TinyGolden.DirectoryOf(model), DataType.Float32, blockSize);
            float[][] logits = harness.Run(new Chunk(0, 0, golden.InputIds));
            AssertClose(logits, golden.Logits, $"block size {blockSize}");
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Logits_AreTheSameBitsInChunksOfSeven(string model)
    {
        TinyGolden golden = TinyGolden.Load(model);
        using var harness = new ForwardHarness(TinyGolden.DirectoryOf(model), DataType.Float32, 8, deterministic: true);
        float[][] whole = harness.Run(new Chunk(0, 0, golden.InputIds));
        List<float[]> chunked = [];
        for (int start = 0; start < golden.InputIds.Length; start += 7)
        {
            chunked.AddRange(harness.Run(new Chunk(1, start, golden.InputIds[start..Math.Min(start + 7, golden.InputIds.Length)])));
        }

        AssertClose(chunked, golden.Logits, "chunks of 7");
        Assert.Equal(whole, chunked);
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void Logits_AreTheSameBitsInABatchOfAllPrefixes(string model)
    {
        TinyGolden golden = TinyGolden.Load(model);
        using var harness = new ForwardHarness(TinyGolden.DirectoryOf(model), DataType.Float32, 16, deterministic: true);
        float[][] alone = harness.Run(new Chunk(0, 0, golden.InputIds));
        int[] lengths = [40, 1, 7, 8, 9, 16, 17, 31, 32, 33, 39];
        float[][] batch = harness.Run([.. lengths.Select((length, i) => new Chunk(i + 1, 0, golden.InputIds[..length]))]);
        int token = 0;
        foreach (int length in lengths)
        {
            AssertClose(batch[token..(token + length)], golden.Logits[..length], $"prefix of {length}");
            token += length;
        }

        token = 0;
        foreach (int length in lengths)
        {
            Assert.Equal(alone[..length], batch[token..(token + length)]);
            token += length;
        }
    }

    [Theory]
    [MemberData(nameof(Models))]
    public void GreedyIds_AgreeWholeChunkedAndBatched(string model)
    {
        TinyGolden golden = TinyGolden.Load(model);
        var greedy = new SamplingParams { Temperature = 0, MaxTokens = golden.GreedyIds.Length, IgnoreEos = true };
        foreach (int blockSize in BlockSizes)
        {
            foreach (int stepTokens in new[] { 512, 7 })
            {
                using var llm = new LLM(new EngineOptions
                {
                    Model = TinyGolden.DirectoryOf(model),
                    Device = TestDevice.Kind,
                    Dtype = ModelDtype.Float32,
                    BlockSize = blockSize,
                    MaxNumBatchedTokens = stepTokens,
                    KvCacheMemoryBytes = 16 << 20,
                });
                Prompt[] prompts = [golden.InputIds, golden.InputIds, golden.InputIds[..20], golden.InputIds];
                IReadOnlyList<RequestOutput> outputs = llm.Generate(prompts, greedy);
                foreach (int i in new[] { 0, 1, 3 })
                {
                    Assert.Equal(golden.GreedyIds, outputs[i].Outputs[0].TokenIds);
                }
            }
        }
    }

    private static void AssertClose(IEnumerable<float[]> actual, float[][] expected, string what)
    {
        double error = TinyGolden.RelativeError(actual, expected);
        Assert.True(error < Tolerance, $"{what}: relative error {error:E2}, allowed {Tolerance:E0}");
    }
}
