using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Microsoft.Win32.SafeHandles;
using VllmNative.Diagnostics;

namespace VllmNative.Loading;

/// <summary>
/// SHA-256 by which a checkpoint is known again, wherever its directory lies: config, the headers of the tensor files, and samples
/// of their data, since reading hundreds of GiB would take longer than the answer is worth. Every file and every tensor is sampled,
/// so that another training, or one tensor replaced, shows; a few elements changed by hand may not.
/// </summary>
internal static class CheckpointDigest
{
    /// <summary>Evenly spaced pages that are read of each file.</summary>
    internal const int PagesPerFile = 64;

    /// <summary>Bytes of such a page.</summary>
    internal const int PageBytes = 4096;

    // In the middle, because the first row is often that of a token nobody trains.
    private const int BytesPerTensor = 256;

    /// <summary>Digest of a checkpoint with weights.</summary>
    /// <exception cref="ModelFormatException">A file is missing, cannot be read or is malformed.</exception>
    public static byte[] Compute(string modelDir)
    {
        using IncrementalHash hash = Begin("safetensors", modelDir);
        string single = Path.Combine(modelDir, WeightMap.SingleName);
        if (Path.Exists(single))
        {
            AppendWeights(hash, single);
            return hash.GetHashAndReset();
        }

        string indexPath = Path.Combine(modelDir, WeightMap.IndexName);
        byte[] index = JsonFile.ReadBytes(indexPath, WeightIndex.MaxLength);
        Append(hash, index);
        foreach (string shard in WeightIndex.Parse(index, indexPath).Shards)
        {
            AppendWeights(hash, Path.Combine(modelDir, shard));
        }

        return hash.GetHashAndReset();
    }

    /// <summary>Digest of a model whose weights are random: they follow from config and seed.</summary>
    /// <exception cref="ModelFormatException">config.json is missing or cannot be read.</exception>
    public static byte[] ComputeDummy(string modelDir, long seed)
    {
        using IncrementalHash hash = Begin("dummy", modelDir);
        Append(hash, seed);
        return hash.GetHashAndReset();
    }

    private static IncrementalHash Begin(string format, string modelDir)
    {
        byte[] config = JsonFile.ReadBytes(Path.Combine(modelDir, "config.json"), JsonFile.MaxConfigLength);
        IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(hash, MemoryMarshal.AsBytes(format.AsSpan()));
        Append(hash, config);
        return hash;
    }

    private static void AppendWeights(IncrementalHash hash, string path)
    {
        try
        {
            using SafeFileHandle file = File.OpenHandle(path);
            long length = RandomAccess.GetLength(file);
            byte[] prefix = new byte[SafetensorsHeader.PrefixLength];
            RandomAccess.Read(file, prefix, 0);
            byte[] json = new byte[SafetensorsHeader.ReadJsonLength(prefix, length, path)];
            ReadExactly(file, json, SafetensorsHeader.PrefixLength, path);
            Append(hash, MemoryMarshal.AsBytes(Path.GetFileName(path.AsSpan())));
            Append(hash, length);
            Append(hash, json);

            byte[] page = new byte[PageBytes];
            long last = Math.Max(length - PageBytes, 0);
            for (int i = 0; i < PagesPerFile; i++)
            {
                AppendSample(hash, file, page, last * i / (PagesPerFile - 1), length, path);
            }

            SafetensorsHeader header = SafetensorsHeader.Parse(json, length, path);
            foreach (SafetensorsEntry tensor in header.Tensors.Values)
            {
                long middle = tensor.Begin + (Math.Max(tensor.End - tensor.Begin - BytesPerTensor, 0) / 2);
                AppendSample(hash, file, page.AsSpan(0, BytesPerTensor), header.DataStart + middle, header.DataStart + tensor.End, path);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            throw new ModelFormatException(path, null, "cannot be read: " + JsonText.OneLine(e), e);
        }
    }

    private static void AppendSample(IncrementalHash hash, SafeFileHandle file, Span<byte> sample, long offset, long end, string path)
    {
        sample = sample[..(int)Math.Min(sample.Length, end - offset)];
        ReadExactly(file, sample, offset, path);
        hash.AppendData(sample);
    }

    private static void ReadExactly(SafeFileHandle file, Span<byte> target, long offset, string path)
    {
        for (int done = 0; done < target.Length;)
        {
            int read = RandomAccess.Read(file, target[done..], offset + done);
            done += read > 0 ? read : throw new ModelFormatException(path, null, "became shorter while it was read");
        }
    }

    // Lengths first: otherwise the end of one field could be the beginning of the next.
    private static void Append(IncrementalHash hash, ReadOnlySpan<byte> bytes)
    {
        Append(hash, (long)bytes.Length);
        hash.AppendData(bytes);
    }

    private static void Append(IncrementalHash hash, long value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(bytes, value);
        hash.AppendData(bytes);
    }
}
