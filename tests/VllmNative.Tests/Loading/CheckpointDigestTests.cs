using VllmNative.Diagnostics;
using VllmNative.Loading;
using Xunit;

namespace VllmNative.Tests.Loading;

/// <summary>A checkpoint is known again wherever it lies, and any other is another.</summary>
public sealed class CheckpointDigestTests : IDisposable
{
    private const int Elements = 400_000;

    private readonly TempDirectory _temp = new();

    public void Dispose() => _temp.Dispose();

    [Fact]
    public void A_copy_elsewhere_is_the_same()
    {
        WriteSingle();
        using TempDirectory copy = new();
        foreach (string file in Directory.GetFiles(_temp.Path))
        {
            File.Copy(file, Path.Combine(copy.Path, Path.GetFileName(file)));
        }

        _temp.Write("notes.txt", "not a part of the model");
        Assert.Equal(CheckpointDigest.Compute(_temp.Path), CheckpointDigest.Compute(copy.Path));
    }

    [Fact]
    public void Any_change_is_seen()
    {
        WriteSingle();
        HashSet<string> digests = [Digest()];
        _temp.Write("config.json", "{ }");
        Assert.True(digests.Add(Digest()), "config");
        WriteSingle(shape: $"[2,{Elements / 2}]");
        Assert.True(digests.Add(Digest()), "shape");
        WriteSingle(dtype: "BF16");
        Assert.True(digests.Add(Digest()), "dtype");
        WriteSingle(name: "b");
        Assert.True(digests.Add(Digest()), "name");
        WriteSingle(first: 1);
        Assert.True(digests.Add(Digest()), "first element");
        WriteSingle(last: 1);
        Assert.True(digests.Add(Digest()), "last element");
        WriteSingle(small: 1);
        Assert.True(digests.Add(Digest()), "one small tensor");
        Shard();
        Assert.True(digests.Add(Digest()), "sharded");
        _temp.Write("model.safetensors.index.json", """{"weight_map":{"w":"one.safetensors"}, "metadata":{}}""");
        Assert.True(digests.Add(Digest()), "index");
        Assert.True(digests.Add(Convert.ToHexString(CheckpointDigest.ComputeDummy(_temp.Path, 1))), "dummy");
        Assert.True(digests.Add(Convert.ToHexString(CheckpointDigest.ComputeDummy(_temp.Path, 2))), "seed");
    }

    [Fact]
    public void Missing_and_malformed_files_are_named()
    {
        Assert.Contains("config.json", Assert.Throws<ModelFormatException>(() => CheckpointDigest.Compute(_temp.Path)).Message, StringComparison.Ordinal);
        _temp.Write("config.json", "{}");
        Assert.Contains("index.json", Assert.Throws<ModelFormatException>(() => CheckpointDigest.Compute(_temp.Path)).Message, StringComparison.Ordinal);
        _temp.Write("model.safetensors", new byte[7]);
        Assert.Contains("7 bytes are too few", Assert.Throws<ModelFormatException>(() => CheckpointDigest.Compute(_temp.Path)).Message, StringComparison.Ordinal);
    }

    private string Digest() => Convert.ToHexString(CheckpointDigest.Compute(_temp.Path));

    private void WriteSingle(string name = "w", string dtype = "F16", string? shape = null, byte first = 0, byte last = 0, byte small = 0)
    {
        _temp.Write("config.json", "{}");
        _temp.Write("model.safetensors", Tensors(name, dtype, shape ?? $"[{Elements}]", first, last, small));
    }

    private void Shard()
    {
        _temp.Write("config.json", "{}");
        File.Move(Path.Combine(_temp.Path, "model.safetensors"), Path.Combine(_temp.Path, "one.safetensors"));
        _temp.Write("model.safetensors.index.json", """{"weight_map":{"w":"one.safetensors"}}""");
    }

    // One large tensor whose ends are in the first and the last page, and in its gaps a small one that only its own sample sees.
    private static byte[] Tensors(string name, string dtype, string shape, byte first, byte last, byte small)
    {
        const int Large = 2 * Elements;
        const int SmallAt = 6000;
        var data = new byte[SmallAt + 4 + Large];
        (data[0], data[SmallAt], data[^1]) = (first, small, last);
        byte[] file = SafetensorsBytes.File(
            "{" + string.Join(
                ',',
                SafetensorsBytes.Entry("head", "U8", $"[{SmallAt}]", $"[0,{SmallAt}]"),
                SafetensorsBytes.Entry("small", "U8", "[4]", $"[{SmallAt},{SmallAt + 4}]"),
                SafetensorsBytes.Entry(name, dtype, shape, $"[{SmallAt + 4},{data.Length}]")) + "}",
            data.Length);
        data.CopyTo(file, file.Length - data.Length);
        return file;
    }
}
