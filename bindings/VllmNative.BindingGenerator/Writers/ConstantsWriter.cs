namespace VllmNative.BindingGenerator.Writers;

/// <summary>Constants.g.cs: the header's macros; those of its status section also as an enum.</summary>
internal static class ConstantsWriter
{
    private const string StatusSection = "status";

    public static string Write(HeaderModel header)
    {
        CodeText code = CodeText.CSharp();
        code.Line();
        code.Line("/// <summary>What a native function answered.</summary>");
        code.Line("public enum NativeStatus");
        code.Open();
        foreach (HeaderConstant constant in header.Constants.Where(IsStatus))
        {
            code.Summary(constant.Comment, constant.Name);
            code.Line($"{Naming.Constant(constant.Name)} = {constant.Value},");
        }
        code.Close();
        code.Line();
        code.Line("/// <summary>The header's other constants.</summary>");
        code.Line("internal static class NativeConstants");
        code.Open();
        string section = "";
        foreach (HeaderConstant constant in header.Constants.Where(c => !IsStatus(c)))
        {
            if (section.Length > 0 && constant.Section != section)
            {
                code.Line();
            }
            section = constant.Section;
            code.Summary(constant.Comment, constant.Name);
            code.Line($"public const int {Naming.Constant(constant.Name)} = {constant.Value};");
        }
        code.Close();
        return code.ToString();
    }

    private static bool IsStatus(HeaderConstant constant) => constant.Section == StatusSection;
}
