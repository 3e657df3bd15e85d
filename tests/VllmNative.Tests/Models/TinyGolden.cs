using System.Runtime.InteropServices;
using VllmNative.Loading;

namespace VllmNative.Tests.Models;

/// <summary>What a float32 reference computed for a tiny model.</summary>
internal sealed record TinyGolden(int[] InputIds, float[][] Logits, int[] GreedyIds)
{
    internal static string DirectoryOf(string model) => TestAssets.Path("models", "tiny", model);

    internal static TinyGolden Load(string model)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(DirectoryOf(model), "golden.safetensors"));
        float[] flat = MemoryMarshal.Cast<byte, float>(Get(file, "logits").Bytes).ToArray();
        int[] inputs = Ids(file, "input_ids");
        int vocabulary = flat.Length / inputs.Length;
        return new TinyGolden(inputs, [.. flat.Chunk(vocabulary)], Ids(file, "greedy_ids"));
    }

    /// <summary>‖a − b‖ / ‖b‖ over all rows.</summary>
    internal static double RelativeError(IEnumerable<float[]> actual, IEnumerable<float[]> expected)
    {
        double difference = 0;
        double norm = 0;
        foreach ((float[] a, float[] b) in actual.Zip(expected))
        {
            for (int i = 0; i < b.Length; i++)
            {
                difference += (a[i] - (double)b[i]) * (a[i] - (double)b[i]);
                norm += (double)b[i] * b[i];
            }
        }

        return Math.Sqrt(difference / norm);
    }

    private static TensorView Get(SafetensorsFile file, string name) =>
        file.TryGet(name, out TensorView tensor) ? tensor : throw new InvalidOperationException(name);

    private static int[] Ids(SafetensorsFile file, string name) =>
        [.. MemoryMarshal.Cast<byte, long>(Get(file, name).Bytes).ToArray().Select(id => (int)id)];
}
